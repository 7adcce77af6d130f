/* Accent colours with enough contrast. Knows the grounds of the pages, not the pages. */
#include "colour.h"

#include <stdio.h>

#include "../core/encoding.h"

#define UNIT       UINT64_C(10000000000) /* luminance of white */
#define FLARE      (UNIT / 20)           /* WCAG's 0.05 */
#define STEPS      256
#define DEEP_LIGHT 64 /* of STEPS towards black */
#define DEEP_DARK  96 /* of STEPS towards white */

/* Those of the pages on which text in the accent's colour may stand and that leave it the least
 * room: the darkest light one and the lightest dark one (--ok-ground in paylink.css). */
static const struct colour light_ground = {0xe2, 0xf3, 0xee};
static const struct colour dark_ground = {0x16, 0x33, 0x2d};

static const struct colour black = {0, 0, 0};
static const struct colour white = {255, 255, 255};

/* The sRGB transfer function (IEC 61966-2-1), in millionths. */
static const uint32_t linear[256] = {
    0,      304,    607,    911,     1214,   1518,   1821,   2125,   2428,   2732,   3035,   3347,
    3677,   4025,   4391,   4777,    5182,   5605,   6049,   6512,   6995,   7499,   8023,   8568,
    9134,   9721,   10330,  10960,   11612,  12286,  12983,  13702,  14444,  15209,  15996,  16807,
    17642,  18500,  19382,  20289,   21219,  22174,  23153,  24158,  25187,  26241,  27321,  28426,
    29557,  30713,  31896,  33105,   34340,  35601,  36889,  38204,  39546,  40915,  42311,  43735,
    45186,  46665,  48172,  49707,   51269,  52861,  54480,  56128,  57805,  59511,  61246,  63010,
    64803,  66626,  68478,  70360,   72272,  74214,  76185,  78187,  80220,  82283,  84376,  86500,
    88656,  90842,  93059,  95307,   97587,  99899,  102242, 104616, 107023, 109462, 111932, 114435,
    116971, 119538, 122139, 124772,  127438, 130136, 132868, 135633, 138432, 141263, 144128, 147027,
    149960, 152926, 155926, 158961,  162029, 165132, 168269, 171441, 174647, 177888, 181164, 184475,
    187821, 191202, 194618, 198069,  201556, 205079, 208637, 212231, 215861, 219526, 223228, 226966,
    230740, 234551, 238398, 242281,  246201, 250158, 254152, 258183, 262251, 266356, 270498, 274677,
    278894, 283149, 287441, 291771,  296138, 300544, 304987, 309469, 313989, 318547, 323143, 327778,
    332452, 337164, 341914, 346704,  351533, 356400, 361307, 366253, 371238, 376262, 381326, 386429,
    391572, 396755, 401978, 407240,  412543, 417885, 423268, 428690, 434154, 439657, 445201, 450786,
    456411, 462077, 467784, 473531,  479320, 485150, 491021, 496933, 502886, 508881, 514918, 520996,
    527115, 533276, 539479, 545724,  552011, 558340, 564712, 571125, 577580, 584078, 590619, 597202,
    603827, 610496, 617207, 623960,  630757, 637597, 644480, 651406, 658375, 665387, 672443, 679542,
    686685, 693872, 701102, 708376,  715694, 723055, 730461, 737910, 745404, 752942, 760525, 768151,
    775822, 783538, 791298, 799103,  806952, 814847, 822786, 830770, 838799, 846873, 854993, 863157,
    871367, 879622, 887923, 896269,  904661, 913099, 921582, 930111, 938686, 947307, 955973, 964686,
    973445, 982251, 991102, 1000000,
};

bool colour_parse(const char *text, size_t len, struct colour *out)
{
    uint8_t bytes[3];

    if (len != COLOUR_TEXT_SIZE || text[0] != '#' || hex_parse(text + 1, len - 1, bytes) != 0)
        return false;
    *out = (struct colour){bytes[0], bytes[1], bytes[2]};
    return true;
}

void colour_format(struct colour colour, char out[COLOUR_TEXT_SIZE + 1])
{
    snprintf(out, COLOUR_TEXT_SIZE + 1, "#%02x%02x%02x", colour.red, colour.green, colour.blue);
}

uint64_t colour_luminance(struct colour colour)
{
    return UINT64_C(2126) * linear[colour.red] + UINT64_C(7152) * linear[colour.green] +
           UINT64_C(722) * linear[colour.blue];
}

/* At least 4.5:1? A thousandth of white more than that makes up for the rounded table. */
static bool readable(struct colour brighter, struct colour darker)
{
    return 2 * (colour_luminance(brighter) + FLARE) >=
           9 * (colour_luminance(darker) + FLARE) + UNIT / 1000;
}

static uint8_t mix_channel(uint8_t from, uint8_t to, unsigned step)
{
    return (uint8_t)((from * (STEPS - step) + to * step + STEPS / 2) / STEPS);
}

static struct colour mix(struct colour from, struct colour to, unsigned step)
{
    return (struct colour){
        mix_channel(from.red, to.red, step),
        mix_channel(from.green, to.green, step),
        mix_channel(from.blue, to.blue, step),
    };
}

/* The colour on the way from `from` to `to` that is the first to stand out from `ground`: the way
 * leads away from the ground, and its end, `to`, does stand out. */
static struct colour first_readable(struct colour from, struct colour to, struct colour ground)
{
    unsigned low = 0, high = STEPS;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        struct colour mixed = mix(from, to, middle);

        if (to.red == 0 ? readable(ground, mixed) : readable(mixed, ground))
            high = middle;
        else
            low = middle + 1;
    }
    return mix(from, to, low);
}

struct colour_scheme colour_scheme_light(struct colour accent)
{
    struct colour_scheme scheme = {.on = white};

    scheme.accent = first_readable(accent, black, light_ground);
    scheme.deep = mix(scheme.accent, black, DEEP_LIGHT);
    return scheme;
}

struct colour_scheme colour_scheme_dark(struct colour accent)
{
    struct colour_scheme scheme = {.on = black};

    scheme.accent = first_readable(accent, white, dark_ground);
    scheme.deep = mix(scheme.accent, white, DEEP_DARK);
    return scheme;
}
