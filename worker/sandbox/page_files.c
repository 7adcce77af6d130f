/* Owns loading and naming of static files; knows no page. */
#include "page_files.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "../core/encoding.h"
#include "../core/file.h"

#define PAGE_FILE_BYTES_MAX (1024 * 1024)

enum result page_file_load(const char *dir, const char *name, const char *type,
                           struct page_file *file, struct error *err)
{
    char *path = mem_printf("%s/%s", dir, name), why[256], hash[17] = "";
    const char *dot = strrchr(name, '.');
    uint8_t digest[EVP_MAX_MD_SIZE];

    memset(file, 0, sizeof(*file));
    if (file_read(path, FILE_PUBLIC, PAGE_FILE_BYTES_MAX, &file->content, &file->len, why,
                  sizeof(why)) != 0) {
        error_set(err, RESULT_FATAL, "sandbox_pages", "%s %s", path, why);
        free(path);
        return RESULT_FATAL;
    }
    free(path);
    EVP_Digest(file->content, file->len, digest, NULL, EVP_sha256(), NULL);
    hex_format(digest, 8, hash);
    snprintf(file->path, sizeof(file->path), "/static/%.*s.%.16s%s", (int)(dot - name), name, hash,
             dot);
    file->type = type;
    return RESULT_OK;
}

void page_file_free(struct page_file *file)
{
    free(file->content);
    memset(file, 0, sizeof(*file));
}

bool page_file_handle(const struct page_file *file, struct call *call)
{
    if (strcmp(call->path, file->path) != 0) {
        return false;
    }
    call->status = 200;
    call->content_type = file->type;
    call->immutable = true;
    writer_bytes(&call->reply, file->content, file->len);
    return true;
}
