/* The files that the sandbox's pages need: loaded at start, served under names with their hash. */
#ifndef PAYLINK_SANDBOX_PAGE_FILES_H
#define PAYLINK_SANDBOX_PAGE_FILES_H

#include "../base/result.h"
#include "call.h"

struct page_file {
    char *content;
    size_t len;
    const char *type; /* Content-Type */
    char path[96];    /* "/static/fields.0123456789abcdef.js" */
};

/* `name` is "stem.ext". */
enum result page_file_load(const char *dir, const char *name, const char *type,
                           struct page_file *file, struct error *err) MUST_CHECK;
void page_file_free(struct page_file *file);
/* True if the path is the file's; then the reply is made. */
bool page_file_handle(const struct page_file *file, struct call *call);

#endif
