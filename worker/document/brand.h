/*
 * A merchant's look on the pages: a style sheet made of its accent colour, and its logo. Both are
 * named by their content: the first 16 bytes of its SHA-256.
 */
#ifndef PAYLINK_DOCUMENT_BRAND_H
#define PAYLINK_DOCUMENT_BRAND_H

#include "colour.h"

#define BRAND_SHEET_SIZE 512

/* NUL-terminated; returns the length. Sets --accent, --accent-deep and --on-accent of paylink.css
 * for light and dark. */
size_t brand_sheet(struct colour accent, char out[BRAND_SHEET_SIZE]);

#endif
