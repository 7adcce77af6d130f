/* Owns surfaces, fonts and layouts. Knows nothing of what is drawn. */
#include "canvas.h"

#include <cairo-pdf.h>
#include <cairo.h>
#include <fontconfig/fontconfig.h>
#include <pango/pangocairo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/mem.h"
#include "../core/language.h"

/* Fonts differ in height: all of them stand on the same lines, in parts of their size. */
#define LINE        1.36
#define LINE_ARABIC 1.6
#define BASELINE    0.39 /* below the middle of a line */

struct canvas {
    cairo_surface_t *surface;
    cairo_t *cr;
    PangoLayout *layout; /* one for every text */
    double width, line;
    bool png, rtl, dry;
    uint8_t *bytes; /* as far as they are written */
    size_t len, room;
};

/* config/packages.txt has them. Chinese and Japanese share code points that they write differently,
 * so the language says which of the two comes first. */
static const char *fonts_of(const char *language)
{
    return strncmp(language, "ja", 2) == 0
               ? "Open Sans,IPAexGothic,Droid Sans Fallback,Amiri,sans-serif"
               : "Open Sans,Amiri,Droid Sans Fallback,IPAexGothic,sans-serif";
}

static cairo_status_t keep(void *arg, const unsigned char *data, unsigned int len)
{
    struct canvas *canvas = arg;

    if (canvas->len + len > canvas->room) {
        canvas->room = (canvas->len + len) * 2;
        canvas->bytes = mem_realloc(canvas->bytes, canvas->room);
    }
    memcpy(canvas->bytes + canvas->len, data, len);
    canvas->len += len;
    return CAIRO_STATUS_SUCCESS;
}

static void start(struct canvas *canvas, const struct canvas_options *options)
{
    PangoLanguage *language = pango_language_from_string(options->language);
    PangoFontDescription *fonts = pango_font_description_from_string(fonts_of(options->language));
    cairo_font_options_t *exact = cairo_font_options_create();
    PangoContext *context;

    canvas->width = options->width;
    canvas->rtl = language_right_to_left(options->language, strlen(options->language));
    canvas->line = canvas->rtl ? LINE_ARABIC : LINE;
    canvas->cr = cairo_create(canvas->surface);
    cairo_font_options_set_hint_style(exact, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(exact, CAIRO_HINT_METRICS_OFF);
    cairo_font_options_set_antialias(exact, CAIRO_ANTIALIAS_GRAY);
    context = pango_cairo_create_context(canvas->cr);
    pango_cairo_context_set_font_options(context, exact);
    pango_cairo_context_set_resolution(context, 72);
    pango_context_set_round_glyph_positions(context, FALSE);
    pango_context_set_language(context, language);
    pango_context_set_base_dir(context, canvas->rtl ? PANGO_DIRECTION_RTL : PANGO_DIRECTION_LTR);
    pango_context_set_font_description(context, fonts);
    canvas->layout = pango_layout_new(context);
    pango_layout_set_auto_dir(canvas->layout, FALSE);
    pango_layout_set_wrap(canvas->layout, PANGO_WRAP_WORD_CHAR);
    pango_layout_set_single_paragraph_mode(canvas->layout, TRUE);
    g_object_unref(context);
    cairo_font_options_destroy(exact);
    pango_font_description_free(fonts);
}

struct canvas *canvas_pdf(const struct canvas_options *options)
{
    struct canvas *canvas = mem_alloc(sizeof *canvas);
    char made[CLOCK_ISO_SIZE];

    canvas->surface =
        cairo_pdf_surface_create_for_stream(keep, canvas, options->width, options->height);
    clock_iso(options->made_ms, made);
    memcpy(strchr(made, '.'), "Z", 2); /* cairo reads seconds */
    cairo_pdf_surface_set_metadata(canvas->surface, CAIRO_PDF_METADATA_TITLE, options->title);
    cairo_pdf_surface_set_metadata(canvas->surface, CAIRO_PDF_METADATA_AUTHOR, options->author);
    cairo_pdf_surface_set_metadata(canvas->surface, CAIRO_PDF_METADATA_CREATE_DATE, made);
    start(canvas, options);
    return canvas;
}

struct canvas *canvas_png(const struct canvas_options *options)
{
    struct canvas *canvas = mem_alloc(sizeof *canvas);

    canvas->png = true;
    canvas->surface =
        cairo_image_surface_create(CAIRO_FORMAT_ARGB32, (int)(options->width * options->scale),
                                   (int)(options->height * options->scale));
    cairo_surface_set_device_scale(canvas->surface, options->scale, options->scale);
    start(canvas, options);
    return canvas;
}

void canvas_dry(struct canvas *canvas, bool dry)
{
    canvas->dry = dry;
}

static void lay_out(const struct canvas *canvas, const struct canvas_text *text)
{
    static const PangoAlignment alignments[] = {PANGO_ALIGN_LEFT, PANGO_ALIGN_CENTER,
                                                PANGO_ALIGN_RIGHT};
    PangoAttrList *attributes = pango_attr_list_new();
    PangoFontDescription *font = pango_font_description_copy(
        pango_context_get_font_description(pango_layout_get_context(canvas->layout)));

    pango_font_description_set_absolute_size(font, text->size * PANGO_SCALE);
    pango_font_description_set_weight(font,
                                      text->bold ? PANGO_WEIGHT_SEMIBOLD : PANGO_WEIGHT_NORMAL);
    pango_layout_set_font_description(canvas->layout, font);
    pango_font_description_free(font);
    pango_layout_set_width(canvas->layout, text->width > 0 ? (int)(text->width * PANGO_SCALE) : -1);
    pango_layout_set_height(canvas->layout, -text->lines);
    pango_layout_set_ellipsize(canvas->layout,
                               text->lines > 0 ? PANGO_ELLIPSIZE_END : PANGO_ELLIPSIZE_NONE);
    pango_layout_set_alignment(canvas->layout,
                               alignments[canvas->rtl ? CANVAS_END - text->align : text->align]);
    pango_attr_list_insert(attributes, pango_attr_line_height_new_absolute(
                                           (int)(text->size * canvas->line * PANGO_SCALE)));
    pango_layout_set_attributes(canvas->layout, attributes);
    pango_attr_list_unref(attributes);
    pango_layout_set_text(canvas->layout, text->text, -1);
}

void canvas_measure(const struct canvas *canvas, const struct canvas_text *text, double *width,
                    double *height)
{
    int w, h;

    lay_out(canvas, text);
    pango_layout_get_size(canvas->layout, &w, &h);
    *width = (double)w / PANGO_SCALE;
    *height = (double)h / PANGO_SCALE;
}

static double left_of(const struct canvas *canvas, double x, double width)
{
    return canvas->rtl ? canvas->width - x - width : x;
}

static void colour_set(struct canvas *canvas, uint32_t colour)
{
    cairo_set_source_rgb(canvas->cr, (colour >> 16 & 255) / 255.0, (colour >> 8 & 255) / 255.0,
                         (colour & 255) / 255.0);
}

double canvas_write(struct canvas *canvas, double x, double y, const struct canvas_text *text)
{
    double width, height, baseline;

    canvas_measure(canvas, text, &width, &height);
    if (!canvas->dry) {
        baseline = (double)pango_layout_get_baseline(canvas->layout) / PANGO_SCALE;
        cairo_move_to(canvas->cr, left_of(canvas, x, text->width > 0 ? text->width : width),
                      y + text->size * (canvas->line / 2 + BASELINE) - baseline);
        colour_set(canvas, text->colour);
        pango_cairo_show_layout(canvas->cr, canvas->layout);
    }
    return height;
}

void canvas_fill(struct canvas *canvas, double x, double y, double width, double height,
                 double radius, uint32_t colour)
{
    const double quarter = 1.5707963267948966;
    double left = left_of(canvas, x, width), right = left + width, low = y + height;

    if (canvas->dry)
        return;
    cairo_new_path(canvas->cr);
    cairo_arc(canvas->cr, right - radius, y + radius, radius, -quarter, 0);
    cairo_arc(canvas->cr, right - radius, low - radius, radius, 0, quarter);
    cairo_arc(canvas->cr, left + radius, low - radius, radius, quarter, 2 * quarter);
    cairo_arc(canvas->cr, left + radius, y + radius, radius, 2 * quarter, 3 * quarter);
    cairo_close_path(canvas->cr);
    colour_set(canvas, colour);
    cairo_fill(canvas->cr);
}

void canvas_next_page(struct canvas *canvas)
{
    if (!canvas->dry)
        cairo_show_page(canvas->cr);
}

enum result canvas_end(struct canvas *canvas, size_t max, uint8_t **out, size_t *len,
                       struct error *err)
{
    cairo_status_t status = cairo_status(canvas->cr);
    enum result result = RESULT_OK;

    if (canvas->png && status == CAIRO_STATUS_SUCCESS)
        status = cairo_surface_write_to_png_stream(canvas->surface, keep, canvas);
    cairo_surface_finish(canvas->surface);
    if (status == CAIRO_STATUS_SUCCESS)
        status = cairo_surface_status(canvas->surface);
    if (status != CAIRO_STATUS_SUCCESS)
        result = error_set(err, RESULT_REJECTED, "drawing", "A drawing cannot be made: %s.",
                           cairo_status_to_string(status));
    else if (canvas->len > max)
        result = error_set(err, RESULT_REJECTED, "drawing", "A drawing of %zu bytes is too large.",
                           canvas->len);
    g_object_unref(canvas->layout);
    cairo_destroy(canvas->cr);
    cairo_surface_destroy(canvas->surface);
    if (result == RESULT_OK) {
        *out = canvas->bytes;
        *len = canvas->len;
    } else {
        free(canvas->bytes);
    }
    free(canvas);
    return result;
}

void canvas_forget(void)
{
    pango_cairo_font_map_set_default(NULL);
    cairo_debug_reset_static_data();
    FcFini();
}
