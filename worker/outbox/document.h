/*
 * Receipts and pictures of buttons, made when the edge asks for one that Redis does not have: one
 * at a time, so that what moves money never waits for long. What cannot be made is dropped: the
 * edge asks again while anybody waits.
 *
 * A document is named by content_name() of the words that say what it shows:
 *   "receipt LINK VERSION TAG BRAND MERCHANT"   LINK and BRAND (its style sheet, or "") in hex
 *   "button …"                                  see ../document/button.h
 */
#ifndef PAYLINK_OUTBOX_DOCUMENT_H
#define PAYLINK_OUTBOX_DOCUMENT_H

#include "../io/loop.h"
#include "../io/pg.h"
#include "../io/stream.h"
#include "publish.h"

struct documents;

struct documents *documents_new(struct loop *loop, struct pg *pg,
                                const struct publisher *publisher);
/* Takes an entry of the `want` stream, whose "of" are the words; acknowledges it on `stream`. */
void documents_take(struct documents *d, struct stream *stream, struct stream_entry *entry);
/* Before its stream is freed. */
void documents_free(struct documents *d);

#endif
