/*
 * Drawing: pages of a PDF, or one picture (cairo, pango and fontconfig; only canvas.c includes
 * them). Lengths are points on a page and pixels of a picture. x counts from where reading starts:
 * from the right on a canvas that reads that way.
 */
#ifndef PAYLINK_IO_CANVAS_H
#define PAYLINK_IO_CANVAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/result.h"

struct canvas;

struct canvas_options {
    double width, height;
    const char *language;       /* BCP 47: chooses fonts, and from where one reads */
    double scale;               /* pixels of a picture for each of its units */
    const char *title, *author; /* of a PDF */
    int64_t made_ms;            /* what a PDF says of its making: nothing else tells time */
};

enum canvas_align { CANVAS_START, CANVAS_CENTRE, CANVAS_END };

/* One paragraph. */
struct canvas_text {
    const char *text; /* UTF-8; what is not is shown as boxes */
    double size;
    bool bold;
    uint32_t colour; /* 0xRRGGBB */
    enum canvas_align align;
    double width; /* breaks lines; 0: never */
    int lines;    /* at most, the rest is "…"; 0: all */
};

/* The first one loads fonts. Freed by canvas_end(). */
struct canvas *canvas_pdf(const struct canvas_options *options);
struct canvas *canvas_png(const struct canvas_options *options);

/* While dry, everything is measured and nothing drawn. */
void canvas_dry(struct canvas *canvas, bool dry);

void canvas_measure(const struct canvas *canvas, const struct canvas_text *text, double *width,
                    double *height);
/* Its upper edge at y. Returns its height. CANVAS_CENTRE and CANVAS_END need a width. */
double canvas_write(struct canvas *canvas, double x, double y, const struct canvas_text *text);
void canvas_fill(struct canvas *canvas, double x, double y, double width, double height,
                 double radius, uint32_t colour);
void canvas_next_page(struct canvas *canvas);

/* Ends the canvas; on RESULT_OK the caller frees the bytes. RESULT_REJECTED: more than `max`. */
enum result canvas_end(struct canvas *canvas, size_t max, uint8_t **out, size_t *len,
                       struct error *err) MUST_CHECK;

/* Gives back what the libraries keep from one canvas to the next: at the end of the process. */
void canvas_forget(void);

#endif
