/* Owns the layout of receipts. Knows neither where they come from nor how letters are drawn. */
#include "receipt.h"

#include <stdio.h>
#include <stdlib.h>

#include "../base/mem.h"
#include "../io/canvas.h"

#define PAGE_WIDTH  595.28 /* A4, in points */
#define PAGE_HEIGHT 841.89
#define MARGIN      56.0
#define WIDTH       (PAGE_WIDTH - 2 * MARGIN)
#define STRIP       7.0 /* of the accent, along the upper edge */
#define BOTTOM      (PAGE_HEIGHT - 76)
#define FOOT        (PAGE_HEIGHT - 50)
#define GAP         16.0

/* columns of the rows */
#define AMOUNT_WIDTH 104.0
#define DETAIL_WIDTH 116.0
#define TEXT_WIDTH   (WIDTH - AMOUNT_WIDTH - DETAIL_WIDTH - 2 * GAP)

#define INK      0x17211f
#define GREY     0x5c6967
#define HAIRLINE 0xdfe4e3

struct sheet {
    const struct receipt *receipt;
    struct canvas *canvas;
    uint32_t accent, deep, tint;
    double y;
    unsigned page, pages; /* `pages`: 0 until they are counted */
};

static uint32_t rgb(struct colour colour)
{
    return (uint32_t)colour.red << 16 | (uint32_t)colour.green << 8 | colour.blue;
}

static uint8_t pale(uint8_t channel)
{
    return (uint8_t)((channel + 11 * 255 + 6) / 12);
}

/* --- pages --------------------------------------------------------------------------------------
 */

static void foot(const struct sheet *s)
{
    const struct receipt *r = s->receipt;
    char *name = mem_printf("%s · %s", r->merchant, r->number), page[32];
    struct canvas_text text = {
        .text = name, .size = 8, .colour = GREY, .width = WIDTH - 80, .lines = 1};

    snprintf(page, sizeof page, "%u / %u", s->page, s->pages);
    canvas_fill(s->canvas, MARGIN, FOOT - 10, WIDTH, 0.5, 0, HAIRLINE);
    canvas_write(s->canvas, MARGIN, FOOT, &text);
    text.text = page;
    text.width = 80;
    text.align = CANVAS_END;
    canvas_write(s->canvas, MARGIN + WIDTH - 80, FOOT, &text);
    free(name);
}

static void column_heads(struct sheet *s)
{
    struct canvas_text text = {.text = s->receipt->invoice_label,
                               .size = 8.5,
                               .bold = true,
                               .colour = GREY,
                               .width = TEXT_WIDTH,
                               .lines = 1};
    double height = canvas_write(s->canvas, MARGIN, s->y, &text);

    text.text = s->receipt->amount_label;
    text.width = AMOUNT_WIDTH;
    text.align = CANVAS_END;
    canvas_write(s->canvas, MARGIN + WIDTH - AMOUNT_WIDTH, s->y, &text);
    s->y += height + 5;
    canvas_fill(s->canvas, MARGIN, s->y, WIDTH, 1.2, 0, s->accent);
    s->y += 1.2;
}

static void page_start(struct sheet *s)
{
    s->page++;
    canvas_fill(s->canvas, 0, 0, PAGE_WIDTH, STRIP, 0, rgb(s->receipt->accent));
    s->y = MARGIN;
}

/* Room for this much, on the next page if need be: then true. */
static bool need(struct sheet *s, double height)
{
    if (s->y + height <= BOTTOM)
        return false;
    foot(s);
    canvas_next_page(s->canvas);
    page_start(s);
    column_heads(s);
    return true;
}

/* --- the head -----------------------------------------------------------------------------------
 */

static void head(struct sheet *s)
{
    const struct receipt *r = s->receipt;
    struct canvas_text heading = {.text = r->heading,
                                  .size = 26,
                                  .bold = true,
                                  .colour = INK,
                                  .width = WIDTH / 2,
                                  .lines = 1};
    struct canvas_text merchant = {.text = r->merchant,
                                   .size = 14,
                                   .bold = true,
                                   .colour = s->accent,
                                   .align = CANVAS_END,
                                   .width = WIDTH / 2 - GAP,
                                   .lines = 3};
    double left = canvas_write(s->canvas, MARGIN, s->y, &heading);
    double right = canvas_write(s->canvas, MARGIN + WIDTH / 2 + GAP, s->y + 9, &merchant) + 9;

    s->y += (left > right ? left : right) + 18;
}

/* Two beside each other, as high as the higher one. */
static void facts(struct sheet *s)
{
    const double width = (WIDTH - GAP) / 2;
    double row = 0;

    for (size_t i = 0; i < RECEIPT_FACTS_MAX && s->receipt->facts[i].label != NULL; i++) {
        const struct receipt_fact *fact = &s->receipt->facts[i];
        struct canvas_text text = {
            .text = fact->label, .size = 8.5, .colour = GREY, .width = width, .lines = 1};
        double x = MARGIN + (i % 2 == 0 ? 0 : width + GAP), height;

        if (i % 2 == 0) {
            s->y += row;
            row = 0;
        }
        height = canvas_write(s->canvas, x, s->y, &text) + 1;
        text = (struct canvas_text){
            .text = fact->value, .size = 10.5, .colour = INK, .width = width, .lines = 3};
        height += canvas_write(s->canvas, x, s->y + height, &text) + 10;
        row = height > row ? height : row;
    }
    s->y += row + 10;
}

static void total_box(struct sheet *s)
{
    const struct receipt_fact *total = &s->receipt->total;
    struct canvas_text label = {
        .text = total->label, .size = 9.5, .colour = s->deep, .width = WIDTH - 36, .lines = 1};
    struct canvas_text amount = {.text = total->value,
                                 .size = 24,
                                 .bold = true,
                                 .colour = s->deep,
                                 .width = WIDTH - 36,
                                 .lines = 1};
    double width, label_height, amount_height, y = s->y + 12;

    canvas_measure(s->canvas, &label, &width, &label_height);
    canvas_measure(s->canvas, &amount, &width, &amount_height);
    canvas_fill(s->canvas, MARGIN, s->y, WIDTH, label_height + amount_height + 24, 6, s->tint);
    canvas_write(s->canvas, MARGIN + 18, y, &label);
    canvas_write(s->canvas, MARGIN + 18, y + label_height, &amount);
    s->y = y + label_height + amount_height + 12 + 30;
}

/* --- the rows -----------------------------------------------------------------------------------
 */

struct cells {
    struct canvas_text text, detail, amount;
    double height;
};

static struct cells cells_of(const struct sheet *s, const struct receipt_row *row)
{
    struct cells c = {
        .text = {.text = row->text,
                 .size = row->invoice ? 10.5 : 9.5,
                 .bold = row->invoice,
                 .colour = row->invoice ? INK : GREY,
                 .width = row->detail != NULL ? TEXT_WIDTH : TEXT_WIDTH + GAP + DETAIL_WIDTH,
                 .lines = 6}};
    double width;

    c.detail = c.amount = c.text;
    c.detail.text = row->detail;
    c.detail.align = c.amount.align = CANVAS_END;
    c.detail.width = DETAIL_WIDTH;
    c.amount.text = row->amount;
    c.amount.width = AMOUNT_WIDTH;
    canvas_measure(s->canvas, &c.text, &width, &c.height);
    return c;
}

/* No invoice stands alone at the end of a page: `next`, if there is one, is its first line. */
static void row_write(struct sheet *s, const struct receipt_row *row,
                      const struct receipt_row *next)
{
    const double above = row->invoice ? 9 : 2;
    struct cells c = cells_of(s, row);
    double below = next != NULL ? cells_of(s, next).height : 0;
    bool first = row == s->receipt->rows || need(s, 2 * above + c.height + below);

    if (row->invoice && !first) {
        s->y += above;
        canvas_fill(s->canvas, MARGIN, s->y, WIDTH, 0.5, 0, HAIRLINE);
    }
    s->y += first ? 8 : above;
    canvas_write(s->canvas, MARGIN, s->y, &c.text);
    if (row->detail != NULL)
        canvas_write(s->canvas, MARGIN + TEXT_WIDTH + GAP, s->y, &c.detail);
    if (row->amount != NULL)
        canvas_write(s->canvas, MARGIN + WIDTH - AMOUNT_WIDTH, s->y, &c.amount);
    s->y += c.height;
}

static void total_row(struct sheet *s)
{
    const struct receipt_fact *total = &s->receipt->total;
    struct canvas_text text = {.text = total->label,
                               .size = 11.5,
                               .bold = true,
                               .colour = INK,
                               .width = WIDTH / 2 - GAP,
                               .lines = 2};

    (void)need(s, 44);
    s->y += 11;
    canvas_fill(s->canvas, MARGIN, s->y, WIDTH, 1.2, 0, s->accent);
    s->y += 10;
    canvas_write(s->canvas, MARGIN, s->y, &text);
    text.text = total->value;
    text.align = CANVAS_END;
    text.width = WIDTH / 2;
    canvas_write(s->canvas, MARGIN + WIDTH / 2, s->y, &text);
}

/* Lays everything out; how many pages there are stands at the foot, so it is done twice. */
static void flow(struct sheet *s)
{
    const struct receipt *r = s->receipt;

    s->page = 0;
    page_start(s);
    head(s);
    facts(s);
    total_box(s);
    column_heads(s);
    for (size_t i = 0; i < r->row_count; i++) {
        bool pair = r->rows[i].invoice && i + 1 < r->row_count && !r->rows[i + 1].invoice;

        row_write(s, &r->rows[i], pair ? &r->rows[i + 1] : NULL);
    }
    total_row(s);
    foot(s);
    s->pages = s->page;
}

enum result receipt_draw(const struct receipt *receipt, size_t max, uint8_t **out, size_t *len,
                         struct error *err)
{
    struct colour accent = receipt->accent;
    struct colour_scheme scheme = colour_scheme_light(accent);
    char *title = mem_printf("%s %s – %s", receipt->heading, receipt->number, receipt->merchant);
    struct canvas_options options = {.width = PAGE_WIDTH,
                                     .height = PAGE_HEIGHT,
                                     .language = receipt->language,
                                     .title = title,
                                     .author = receipt->merchant,
                                     .made_ms = receipt->paid_at_ms};
    struct sheet sheet = {
        .receipt = receipt,
        .canvas = canvas_pdf(&options),
        .accent = rgb(scheme.accent),
        .deep = rgb(scheme.deep),
        .tint = rgb((struct colour){pale(accent.red), pale(accent.green), pale(accent.blue)})};

    free(title);
    canvas_dry(sheet.canvas, true);
    flow(&sheet);
    canvas_dry(sheet.canvas, false);
    flow(&sheet);
    return canvas_end(sheet.canvas, max, out, len, err);
}
