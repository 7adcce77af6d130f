/* Reads and draws buttons. Knows no link. */
#include "button.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "../core/encoding.h"
#include "../core/language.h"
#include "../core/money.h"
#include "../io/canvas.h"
#include "colour.h"

#define RADIUS     10
#define SCALE_MAX  3
#define WIDTH_MAX  2000
#define HEIGHT_MAX 200
#define PADDING    6

struct button {
    char language[LANGUAGE_BYTES_MAX + 1];
    int64_t scale, width, height, font_size;
    struct colour ground, ink;
    const char *label;
};

/* The next word of *text, up to a blank. */
static size_t word(const char **text, const char **start)
{
    size_t len = strcspn(*text, " ");

    *start = *text;
    *text += len + ((*text)[len] == ' ');
    return len;
}

static bool number(const char **text, int64_t max, int64_t *out)
{
    const char *start;
    size_t len = word(text, &start);

    return money_parse_minor(start, len, out) && *out >= 1 && *out <= max;
}

static bool colour(const char **text, struct colour *out)
{
    const char *start;
    size_t len = word(text, &start);

    return colour_parse(start, len, out);
}

static bool button_read(const char *text, struct button *b)
{
    const char *start;
    size_t len = word(&text, &start);

    memset(b, 0, sizeof *b);
    if (len == 0 || len > LANGUAGE_BYTES_MAX)
        return false;
    memcpy(b->language, start, len);
    if (!number(&text, SCALE_MAX, &b->scale) || !number(&text, WIDTH_MAX, &b->width) ||
        !number(&text, HEIGHT_MAX, &b->height) || !number(&text, HEIGHT_MAX, &b->font_size) ||
        !colour(&text, &b->ground) || !colour(&text, &b->ink))
        return false;
    b->label = text;
    return *text != '\0' && utf8_valid(text, strlen(text));
}

static uint32_t rgb(struct colour c)
{
    return (uint32_t)c.red << 16 | (uint32_t)c.green << 8 | c.blue;
}

enum result button_draw(const char *text, size_t max, uint8_t **out, size_t *len, struct error *err)
{
    struct button b;
    struct canvas_options options;
    struct canvas_text label;
    struct canvas *canvas;
    double width, height, room;

    if (!button_read(text, &b))
        return error_set(err, RESULT_REJECTED, "button", "A button that cannot be read.");
    options = (struct canvas_options){.width = (double)b.width,
                                      .height = (double)b.height,
                                      .language = b.language,
                                      .scale = (double)b.scale};
    label = (struct canvas_text){
        .text = b.label, .size = (double)b.font_size, .bold = true, .colour = rgb(b.ink)};
    room = options.width - 2 * PADDING;
    canvas = canvas_png(&options);
    canvas_fill(canvas, 0, 0, options.width, options.height, RADIUS, rgb(b.ground));
    canvas_measure(canvas, &label, &width, &height);
    if (width > room) /* the edge has guessed the width of its letters */
        label.size *= room / width;
    label.width = room;
    label.lines = 1;
    label.align = CANVAS_CENTRE;
    canvas_measure(canvas, &label, &width, &height);
    canvas_write(canvas, PADDING, (options.height - height) / 2, &label);
    return canvas_end(canvas, max, out, len, err);
}
