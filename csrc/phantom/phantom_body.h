// Bodies and schedule of the phantom: see phantom.h for the idea.
//
//   walk       one neurite -> its segments               (Neurites)
//   lists      which segments can matter in a block       (Candidates, twice: coarse blocks, then fine ones)
//   tissue     a run of 16 voxels along x -> image, owner, mitochondrion, clearance from the membrane
//   affinity   a run of 16 voxels, three channels, from owner and clearance
//   membranes  owner becomes 0 where the clearance is small
//
// Runs and blocks are anchored at the origin of the endless tissue, not at the window, and all positions are nanometres
// from there; so a voxel meets the same candidates in the same order whichever window shows it.
#pragma once

#include "core/hd.h"
#include "core/isa.h"
#include "core/mix.h"
#include "phantom/phantom.h"

namespace emfast::phantom {

inline constexpr int run_length = 16;
inline constexpr int corner_room = 18;  // corners of a noise lattice along a run: 16 / 1.25 + 2, and some
inline constexpr int segments_per_neurite = 10;
inline constexpr int neurites_per_cell = 9;  // the last one is glia, which fills what the others leave
inline constexpr int levels = 3;  // of blocks, the last one is the finest
inline constexpr float far_away = 1e9f;

// ---- Random numbers: hashes of a counter -----------------------------------------------------------------------------

EMFAST_HD EMFAST_INLINE uint32_t mix(uint32_t h) { return mix32(h); }
EMFAST_HD EMFAST_INLINE uint32_t mix(uint32_t key, uint32_t value) { return mix(key + value * 0x9e3779b1u); }
EMFAST_HD EMFAST_INLINE uint32_t stream_key(uint64_t seed, uint32_t stream) {
    return mix(mix(mix(stream + 1u), static_cast<uint32_t>(seed)), static_cast<uint32_t>(seed >> 32));
}
EMFAST_HD EMFAST_INLINE float unit(uint32_t h) { return static_cast<float>(h >> 8) * (1.0f / 16777216.0f); }  // [0, 1)
EMFAST_HD EMFAST_INLINE float both(uint32_t h) { return unit(h) * 2.0f - 1.0f; }  // [-1, 1)

// ---- Small mathematics ---------------------------------------------------------------------------------------------------

EMFAST_HD EMFAST_INLINE float least(float a, float b) { return a < b ? a : b; }
EMFAST_HD EMFAST_INLINE float most(float a, float b) { return a > b ? a : b; }
EMFAST_HD EMFAST_INLINE float clamp(float v, float low, float high) { return least(most(v, low), high); }
EMFAST_HD EMFAST_INLINE float absolute(float v) { return v < 0 ? -v : v; }
EMFAST_HD EMFAST_INLINE float smooth(float t) { return t * t * (3.0f - 2.0f * t); }
EMFAST_HD EMFAST_INLINE float root(float v) { return __builtin_sqrtf(v); }
EMFAST_HD EMFAST_INLINE int below(float v) {  // floor
    const int i = static_cast<int>(v);
    return i - (v < static_cast<float>(i) ? 1 : 0);
}
EMFAST_HD EMFAST_INLINE int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

// ---- Value noise in [-1, 1] --------------------------------------------------------------------------------------------

struct Lattice {
    uint32_t key;
    float per_z, per_y, per_x;  // lattice points per nanometre
};

EMFAST_HD inline float noise_at(const Lattice& l, float z, float y, float x) {
    const float gz = z * l.per_z, gy = y * l.per_y, gx = x * l.per_x;
    const int kz = below(gz), ky = below(gy), kx = below(gx);
    const float tz = smooth(gz - static_cast<float>(kz)), ty = smooth(gy - static_cast<float>(ky));
    const float tx = smooth(gx - static_cast<float>(kx));
    float plane[2];
    for (int a = 0; a < 2; ++a) {
        const uint32_t hz = mix(l.key, static_cast<uint32_t>(kz + a));
        const uint32_t h0 = mix(hz, static_cast<uint32_t>(ky)), h1 = mix(hz, static_cast<uint32_t>(ky + 1));
        const float v00 = both(mix(h0, static_cast<uint32_t>(kx))), v01 = both(mix(h0, static_cast<uint32_t>(kx + 1)));
        const float v10 = both(mix(h1, static_cast<uint32_t>(kx))), v11 = both(mix(h1, static_cast<uint32_t>(kx + 1)));
        const float v0 = v00 + tx * (v01 - v00), v1 = v10 + tx * (v11 - v10);
        plane[a] = v0 + ty * (v1 - v0);
    }
    return plane[0] + tz * (plane[1] - plane[0]);
}

// The noise of a run: z and y fixed, x rising. The four edges of the lattice that enclose the run are blended first.
EMFAST_HD EMFAST_INLINE void noise_run(const Lattice& l, float z, float y, const float* x, float* out) {
    const float gz = z * l.per_z, gy = y * l.per_y;
    const int kz = below(gz), ky = below(gy), from = below(x[0] * l.per_x);
    const float tz = smooth(gz - static_cast<float>(kz)), ty = smooth(gy - static_cast<float>(ky));
    const uint32_t hz0 = mix(l.key, static_cast<uint32_t>(kz)), hz1 = mix(l.key, static_cast<uint32_t>(kz + 1));
    const uint32_t h00 = mix(hz0, static_cast<uint32_t>(ky)), h01 = mix(hz0, static_cast<uint32_t>(ky + 1));
    const uint32_t h10 = mix(hz1, static_cast<uint32_t>(ky)), h11 = mix(hz1, static_cast<uint32_t>(ky + 1));
    const int corners = below(x[run_length - 1] * l.per_x) - from + 2;
    float edge[corner_room];
    for (int k = 0; k < corners; ++k) {
        const auto kx = static_cast<uint32_t>(from + k);
        const float v00 = both(mix(h00, kx)), v01 = both(mix(h01, kx));
        const float v10 = both(mix(h10, kx)), v11 = both(mix(h11, kx));
        const float v0 = v00 + ty * (v01 - v00), v1 = v10 + ty * (v11 - v10);
        edge[k] = v0 + tz * (v1 - v0);
    }
    for (int j = 0; j < run_length; ++j) {
        const float gx = x[j] * l.per_x;
        const int k = below(gx);
        const float a = edge[k - from], b = edge[k - from + 1];
        out[j] = a + smooth(gx - static_cast<float>(k)) * (b - a);
    }
}

// ---- Tissue ----------------------------------------------------------------------------------------------------------------

// A conical piece of a neurite, and perhaps a mitochondrion along it.
struct Segment {
    float z, y, x;  // one end
    float dz, dy, dx;  // to the other
    float per_square;  // 1 / length^2
    float radius, growth;  // radius at the first end, and what it gains to the other
    uint32_t id;  // the neurite's number in this window's table, from 1
    uint32_t look;  // its hash: appearance, the same in every window
    float from, to;  // the mitochondrion's ends as parts of the length; to < from: there is none
    float thickness;  // its radius
    float off_y, off_x;  // how far it lies off the axis
    uint32_t stripes;  // its hash
};

enum Kind : uint32_t { axon = 0, dendrite = 1, twig = 2, glia = 3 };
EMFAST_HD EMFAST_INLINE uint32_t kind_of(uint32_t look) { return look & 3u; }

struct Reach {  // where q is along a segment and how far from its surface
    float distance;
    float part;
    float z, y, x;  // from the axis to q
};

EMFAST_HD EMFAST_INLINE float surface(const Segment& s, float z, float y, float x) {
    const float az = z - s.z, ay = y - s.y, ax = x - s.x;
    const float t = clamp((az * s.dz + ay * s.dy + ax * s.dx) * s.per_square, 0.0f, 1.0f);
    const float rz = az - t * s.dz, ry = ay - t * s.dy, rx = ax - t * s.dx;
    return root(rz * rz + ry * ry + rx * rx) - (s.radius + t * s.growth);
}

// Everything the bodies need to know, in nanometres.
struct World {
    Settings set;
    int64_t cell_first[3], cell_count[3];  // home cells whose neurites may reach the window
    float cell;  // side of a home cell
    int64_t block_size[levels][3];  // voxels of a block, coarse to fine
    int64_t block_first[levels][3], block_count[levels][3];
    int64_t run_first, runs_per_row;
    Lattice warp[9], grain, blotch, synapse, reticulum, reticulum_where, vesicle_where, crista;
    Lattice shade, speckle, gap, faint, false_sheet, false_where, doubt[3];
    uint32_t walk_key, section_key, white_key, vesicle_key, doubt_key[3];
    float warp_amount[3];
    float slack;  // how much farther than the nearest surface another one may be and still count

    EMFAST_HD float z_of(int64_t z) const { return static_cast<float>(z) * set.spacing[0]; }
    EMFAST_HD float y_of(int64_t y) const { return static_cast<float>(y) * set.spacing[1]; }
    EMFAST_HD float x_of(int64_t x) const { return static_cast<float>(x) * set.spacing[2]; }
};

// How a section came out of the microscope.
struct Section {
    enum State { fine, missing, dark, shifted };
    State state;
    float gain, offset, shift_y, shift_x;
};

EMFAST_HD inline Section section(const World& w, int64_t z) {
    const uint32_t h = mix(w.section_key, static_cast<uint32_t>(z));
    Section s{Section::fine, 1.0f + 0.06f * both(mix(h, 1)), 6.0f * both(mix(h, 2)), 0.0f, 0.0f};
    if (unit(mix(h, 3)) < w.set.defects) {
        const uint32_t which = mix(h, 4) % 3u;
        s.state = which == 0 ? Section::missing : which == 1 ? Section::dark : Section::shifted;
        if (s.state == Section::dark) {
            s.gain = 0.45f;
            s.offset = -55.0f;
        }
        if (s.state == Section::shifted) {
            s.shift_y = 0.12f * w.set.calibre * both(mix(h, 5));
            s.shift_x = 0.12f * w.set.calibre * both(mix(h, 6));
        }
    }
    return s;
}

// One neurite: a random walk from a point in its home cell. Axons are thin with swellings, dendrites thick with a branch,
// twigs thin and straight; glia has a negative radius, so that it gets what is far from all others.
struct Neurites {
    World w;
    Segment* segments;

    EMFAST_HD void operator()(int64_t i) const {
        const int64_t cell = i / neurites_per_cell;
        const auto k = static_cast<uint32_t>(i % neurites_per_cell);
        const int64_t cx = cell % w.cell_count[2], cy = cell / w.cell_count[2] % w.cell_count[1];
        const int64_t cz = cell / (w.cell_count[2] * w.cell_count[1]);
        uint32_t h = mix(w.walk_key, static_cast<uint32_t>(w.cell_first[0] + cz));
        h = mix(mix(mix(h, static_cast<uint32_t>(w.cell_first[1] + cy)), static_cast<uint32_t>(w.cell_first[2] + cx)),
                k);
        uint32_t count = 0;
        auto next = [&] { return mix(h, ++count); };

        const float c = w.set.calibre;
        const float pick = unit(next());
        const uint32_t kind = k + 1 == neurites_per_cell ? glia : pick < 0.55f ? axon : pick < 0.82f ? dendrite : twig;
        const uint32_t look = (h & ~3u) | kind;
        const float base = kind == axon       ? c * (0.20f + 0.10f * unit(next()))
                           : kind == dendrite ? c * (0.50f + 0.35f * unit(next()))
                           : kind == twig     ? c * 0.15f
                                              : c * -0.55f;
        float at[segments_per_neurite + 1][3], radius[segments_per_neurite + 1], way[3], start[3];
        start[0] = (static_cast<float>(w.cell_first[0] + cz) + unit(next())) * w.cell;
        start[1] = (static_cast<float>(w.cell_first[1] + cy) + unit(next())) * w.cell;
        start[2] = (static_cast<float>(w.cell_first[2] + cx) + unit(next())) * w.cell;
        for (float& v : way) v = both(next()) + both(next());
        const float bend = kind == dendrite ? 0.35f : kind == glia ? 1.2f : 0.55f;
        const int branch = kind == dendrite ? 7 : segments_per_neurite;
        for (int s = 0; s <= segments_per_neurite; ++s) {
            if (s == branch)  // the last pieces leave from a vertex half way, across
                for (int a = 0; a < 3; ++a) {
                    start[a] = at[4][a];
                    way[a] = both(next());
                }
            const float norm = root(way[0] * way[0] + way[1] * way[1] + way[2] * way[2]) + 1e-6f;
            for (int a = 0; a < 3; ++a) {
                way[a] /= norm;
                at[s][a] = start[a];
                start[a] += way[a] * (kind == glia ? 0.9f : 1.2f) * c;
                way[a] += bend * both(next());
            }
            radius[s] = base;
            if (kind == axon && unit(next()) < 0.35f) radius[s] = c * (0.40f + 0.20f * unit(next()));
            if (kind == dendrite) radius[s] = s >= branch ? c * 0.25f : base * (0.85f + 0.3f * unit(next()));
        }
        for (int s = 0; s < segments_per_neurite; ++s) {
            Segment& g = segments[i * segments_per_neurite + s];
            const int from =
                s + 1 == branch ? 4 : s;  // the piece that would join trunk and branch joins the fork to it
            g.z = at[from][0], g.y = at[from][1], g.x = at[from][2];
            g.dz = at[s + 1][0] - g.z, g.dy = at[s + 1][1] - g.y, g.dx = at[s + 1][2] - g.x;
            const float square = g.dz * g.dz + g.dy * g.dy + g.dx * g.dx;
            g.per_square = square > 1.0f ? 1.0f / square : 0.0f;
            g.radius = radius[from];
            g.growth = radius[s + 1] - radius[from];
            g.id = static_cast<uint32_t>(i) + 1;
            g.look = look;
            const float middle = g.radius + 0.5f * g.growth;
            const float chance = kind == dendrite ? 0.36f : kind == axon && middle > 0.3f * c ? 0.4f : 0.0f;
            const bool there = unit(next()) < chance * w.set.mitochondria;
            const float half = 0.22f + 0.26f * unit(next()), centre = 0.5f + 0.12f * both(next());
            g.from = there ? centre - half : 1.0f;
            g.to = there ? centre + half : 0.0f;
            g.thickness = least(middle * (0.50f + 0.25f * unit(next())), 0.42f * c);
            g.off_y = 0.22f * middle * both(next());
            g.off_x = 0.22f * middle * both(next());
            g.stripes = next();
        }
    }
};

// Where in unwarped space the tissue at a point comes from. The finest of the three noises only makes membranes wavy.
EMFAST_HD inline void warped(const World& w, float z, float y, float x, float* q) {
    q[0] = z, q[1] = y, q[2] = x;
    for (int a = 0; a < 6; ++a) q[a % 3] += w.warp_amount[a / 3] * noise_at(w.warp[a], z, y, x);
}

// True for segments that come near the window at all.
struct Nearby {
    const Segment* segments;
    float low[3], high[3];

    EMFAST_HD bool operator()(int64_t i) const {
        const Segment& s = segments[i];
        const float a[3] = {s.z, s.y, s.x}, d[3] = {s.dz, s.dy, s.dx};
        for (int k = 0; k < 3; ++k)
            if (most(a[k], a[k] + d[k]) < low[k] || least(a[k], a[k] + d[k]) > high[k]) return false;
        return true;
    }
};

// The candidates of block i at a level: those segments whose surface can be nearest, or nearly so, somewhere in it.
// `parents` is a list of all segments near the window (level 0) or the lists of the blocks one level up.
// Counts when `out` is null, writes from starts[i] on otherwise.
struct Candidates {
    World w;
    const Segment* segments;
    int level;
    const int32_t* parents;
    const int64_t* parent_starts;  // where a coarser block's list begins
    int64_t parent_total;
    int64_t* starts;
    int32_t* out;

    EMFAST_HD void operator()(int64_t i) const {
        const int64_t* count = w.block_count[level];
        const int64_t* size = w.block_size[level];
        const int64_t b[3] = {i / (count[2] * count[1]), i / count[2] % count[1], i % count[2]};
        float centre[3], half[3], q[3];
        int64_t parent = 0;
        for (int a = 0; a < 3; ++a) {
            const int64_t first = (w.block_first[level][a] + b[a]) * size[a];
            half[a] = 0.5f * static_cast<float>(size[a]) * w.set.spacing[a];
            centre[a] = (static_cast<float>(first) + 0.5f * static_cast<float>(size[a] - 1)) * w.set.spacing[a];
            if (level > 0) {
                const int up = level - 1;
                parent = parent * w.block_count[up][a] + floor_div(first, w.block_size[up][a]) - w.block_first[up][a];
            }
        }
        warped(w, centre[0], centre[1], centre[2], q);
        const int64_t begin = level > 0 ? parent_starts[parent] : 0;
        const int64_t end = level > 0 ? parent_starts[parent + 1] : parent_total;
        float nearest = far_away;
        for (int64_t k = begin; k < end; ++k) nearest = least(nearest, surface(segments[parents[k]], q[0], q[1], q[2]));
        const float radius = root(half[0] * half[0] + half[1] * half[1] + half[2] * half[2]);
        const float within = nearest + 2.6f * radius + w.slack;
        int64_t at = out ? starts[i] : 0;
        for (int64_t k = begin; k < end; ++k)
            if (surface(segments[parents[k]], q[0], q[1], q[2]) <= within) {
                if (out) out[at] = parents[k];
                ++at;
            }
        if (!out) starts[i] = at;
    }
};

// The share of a membrane seen at distance m from its middle, averaged over +-w along its normal: the section's thickness
// as the oblique membrane meets it, and the blur of the lens. The profile is (1 - (m / r)^2)^2, its integral a polynomial.
EMFAST_HD EMFAST_INLINE float profile_sum(float m, float r) {
    const float t = clamp(m / r, -1.0f, 1.0f), s = t * t;
    return r * t * (1.0f - s * (2.0f / 3.0f - 0.2f * s));
}
EMFAST_HD EMFAST_INLINE float membrane_share(float m, float w, float r) {
    return (profile_sum(m + w, r) - profile_sum(m - w, r)) / (2.0f * w);
}

// What lies between -1 and 1 and repeats every 4: a wave without sines.
EMFAST_HD EMFAST_INLINE float wave(float t) {
    const float u = t * 0.25f - static_cast<float>(below(t * 0.25f));  // [0, 1)
    return absolute(u * 4.0f - 2.0f) - 1.0f;
}

// A run of voxels: who owns them, how far the membrane is, and what the microscope sees.
struct Tissue {
    World w;
    const Segment* segments;
    const int64_t* starts;
    const int32_t* lists;
    Result out;
    uint8_t* clearance;  // distance from the middle of the membrane in half nanometres, 255 where far

    EMFAST_HD EMFAST_INLINE void operator()(int64_t i) const {
        constexpr int n = run_length;
        const Shape& shape = w.set.shape;
        const int64_t row = i / w.runs_per_row, run = i - row * w.runs_per_row;
        const int64_t at[3] = {w.set.origin[0] + row / shape.y, w.set.origin[1] + row % shape.y,
                               (w.run_first + run) * run_length};
        const Section sec = section(w, at[0]);
        const float z = w.z_of(at[0]), y = w.y_of(at[1]) + sec.shift_y;
        float x[n], qz[n], qy[n], qx[n], field[n];
        for (int j = 0; j < n; ++j) x[j] = w.x_of(at[2] + j) + sec.shift_x;

        for (int j = 0; j < n; ++j) qz[j] = z, qy[j] = y, qx[j] = x[j];
        float* const q[3] = {qz, qy, qx};
        for (int a = 0; a < 9; ++a) {
            noise_run(w.warp[a], z, y, x, field);
            const float amount = w.warp_amount[a / 3];
            float* const axis = q[a % 3];
            for (int j = 0; j < n; ++j) axis[j] += amount * field[j];
        }

        int64_t block = 0;
        for (int a = 0; a < 3; ++a)
            block = block * w.block_count[levels - 1][a] + floor_div(at[a], w.block_size[levels - 1][a]) -
                    w.block_first[levels - 1][a];
        const int32_t* list = lists + starts[block];
        const int64_t length = starts[block + 1] - starts[block];

        float best[n], second[n];
        int32_t first_at[n], second_at[n];
        uint32_t owner[n];
        for (int j = 0; j < n; ++j) best[j] = second[j] = far_away, first_at[j] = second_at[j] = -1, owner[j] = 0;
        for (int64_t k = 0; k < length; ++k) {
            const Segment s = segments[list[k]];
            const int32_t index = list[k];
            for (int j = 0; j < n; ++j) {
                const float v = surface(s, qz[j], qy[j], qx[j]);
                const bool other = s.id != owner[j], wins = v < best[j];
                const bool demotes = wins && other, follows = !wins && other && v < second[j];
                second[j] = demotes ? best[j] : follows ? v : second[j];
                second_at[j] = demotes ? first_at[j] : follows ? index : second_at[j];
                best[j] = wins ? v : best[j];
                first_at[j] = wins ? index : first_at[j];
                owner[j] = wins ? s.id : owner[j];
            }
        }

        // The membrane: half the difference where the two surfaces face each other, more where they meet at an angle.
        const float thickness = 0.9f * w.set.spacing[0], lens = 0.40f * w.set.spacing[2];
        float clear[n], slab[n];
        for (int j = 0; j < n; ++j) {
            clear[j] = 1000.0f, slab[j] = lens;
            const float difference = second[j] - best[j];
            if (first_at[j] < 0 || second_at[j] < 0 || difference > 260.0f) continue;
            float normal[3] = {0, 0, 0};
            for (int side = 0; side < 2; ++side) {
                const Segment& s = segments[side ? second_at[j] : first_at[j]];
                const float az = qz[j] - s.z, ay = qy[j] - s.y, ax = qx[j] - s.x;
                const float t = clamp((az * s.dz + ay * s.dy + ax * s.dx) * s.per_square, 0.0f, 1.0f);
                const float rz = az - t * s.dz, ry = ay - t * s.dy, rx = ax - t * s.dx;
                const float norm = (side ? -1.0f : 1.0f) / (root(rz * rz + ry * ry + rx * rx) + 1e-3f);
                normal[0] += rz * norm, normal[1] += ry * norm, normal[2] += rx * norm;
            }
            const float norm = root(normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2]);
            clear[j] = difference / most(norm, 0.4f);
            slab[j] = lens + 0.5f * thickness * absolute(normal[0]) / most(norm, 1e-3f);
        }

        // Mitochondria of the candidates: capsules along their axes that keep clear of the membrane.
        float inside[n], stripe[n];
        uint32_t organelle[n];
        for (int j = 0; j < n; ++j) inside[j] = far_away, stripe[j] = 0, organelle[j] = 0;
        bool any = false;
        for (int64_t k = 0; k < length; ++k) {
            const Segment s = segments[list[k]];
            if (s.to < s.from) continue;
            uint32_t concerns = 0;
            for (int j = 0; j < n; ++j) concerns |= owner[j] == s.id ? 1u : 0u;
            if (!concerns) continue;
            const float length_of = root(s.dz * s.dz + s.dy * s.dy + s.dx * s.dx);
            for (int j = 0; j < n; ++j) {
                const float az = qz[j] - s.z, ay = qy[j] - s.y - s.off_y, ax = qx[j] - s.x - s.off_x;
                const float t = clamp((az * s.dz + ay * s.dy + ax * s.dx) * s.per_square, s.from, s.to);
                const float rz = az - t * s.dz, ry = ay - t * s.dy, rx = ax - t * s.dx;
                float v = root(rz * rz + ry * ry + rx * rx) - s.thickness;
                v = most(v, w.set.membrane * 1.35f - clear[j]);
                v = most(v, surface(s, qz[j], qy[j], qx[j]) - best[j] - 0.15f * w.set.calibre);
                if (owner[j] != s.id || v >= inside[j]) continue;
                inside[j] = v;
                organelle[j] = static_cast<uint32_t>(list[k]) + 1;
                const float lean = both(s.stripes);  // the cristae run across, or along, or between
                const float across = lean * ry + (1.0f - absolute(lean)) * rx;
                stripe[j] = ((s.stripes & 1u) ? t * length_of : across * 1.3f) + 0.35f * ry;
                any = true;
            }
        }

        // Grey values.
        float grey[n], er[n], where[n], ves[n], wobble[n];
        noise_run(w.grain, z, y, x, field);
        noise_run(w.blotch, z, y, x, er);
        for (int j = 0; j < n; ++j) {
            const uint32_t look = first_at[j] < 0 ? 0u : segments[first_at[j]].look;
            const uint32_t h = mix(look);
            float base = 162.0f + 13.0f * both(h);
            if (kind_of(look) == glia) base += 6.0f;
            if (kind_of(look) != glia && (h & 0xf000u) < 0x2000u) base -= 26.0f;
            const float dark = field[j] < -0.30f ? 1.5f * (field[j] + 0.30f) : 0.0f;
            grey[j] = base + 15.0f * field[j] + 22.0f * dark + 12.0f * er[j];
            wobble[j] = er[j];
        }
        noise_run(w.reticulum, z, y, x, er);
        noise_run(w.reticulum_where, z, y, x, where);
        noise_run(w.vesicle_where, z, y, x, ves);
        for (int j = 0; j < n; ++j) {
            if (first_at[j] < 0) continue;
            const uint32_t look = segments[first_at[j]].look;
            const uint32_t kind = kind_of(look);
            const float room = clamp((clear[j] - 22.0f) * 0.06f, 0.0f, 1.0f);
            // Endoplasmic reticulum: where a noise field is zero, a sheet; thin, dark, and light inside.
            if (kind != twig && where[j] > 0.22f) {
                const float d = absolute(er[j] + 0.10f * wobble[j]);
                const float sheet = d < 0.035f ? -0.12f : d < 0.10f ? 1.0f - absolute(d - 0.065f) * 25.0f : 0.0f;
                grey[j] -= 58.0f * room * sheet * clamp((where[j] - 0.22f) * 8.0f, 0.0f, 1.0f);
            }
            // One thing in some cells of a fine grid, small enough to stay in its cell: a vesicle's ring in parts of axons,
            // elsewhere the dark dot of a microtubule or granule.
            if (room > 0.0f) {
                constexpr float side = 54.0f;
                const bool vesicles = kind == axon && ves[j] > 0.05f;
                const float vy = qy[j] + 13.0f * wobble[j], vx = qx[j] - 13.0f * er[j];
                const int kz = below(qz[j] / side), ky = below(vy / side), kx = below(vx / side);
                uint32_t h = mix(w.vesicle_key, static_cast<uint32_t>(kz));
                h = mix(mix(h, static_cast<uint32_t>(ky)), static_cast<uint32_t>(kx));
                if (unit(h) < (vesicles ? 0.08f + 1.3f * ves[j] : 0.24f)) {
                    const float dz = qz[j] - (static_cast<float>(kz) + 0.5f) * side;
                    const float dy = vy - (static_cast<float>(ky) + 0.5f + 0.18f * both(mix(h, 1))) * side;
                    const float dx = vx - (static_cast<float>(kx) + 0.5f + 0.18f * both(mix(h, 2))) * side;
                    const float d = root(dy * dy + dx * dx), r = 12.0f + 4.0f * unit(mix(h, 3));
                    const float ring =
                        most(0.0f, 1.0f - absolute(d - r) * 0.13f) + 0.10f * (d < r - 5.0f ? 1.0f : 0.0f);
                    const float dot = most(0.0f, 1.25f - d * 0.085f) * (0.35f + 0.65f * unit(mix(h, 4)));
                    grey[j] -= 48.0f * room * (vesicles ? ring : dot) * clamp(1.6f - absolute(dz) * 0.05f, 0.0f, 1.0f);
                }
            }
        }
        if (any) {
            noise_run(w.crista, z, y, x, er);
            for (int j = 0; j < n; ++j) {
                const float v = inside[j], blur = most(lens, 0.18f * thickness) + 3.0f;
                const float cover = clamp(0.5f - v / (2.0f * blur), 0.0f, 1.0f);
                const float depth = -v;
                const float rim = membrane_share(depth - 7.0f, blur, 13.0f);
                const float crista = wave(stripe[j] * 0.085f + 2.2f * er[j]);
                const float matrix = 104.0f + 10.0f * er[j] + 17.0f * crista * clamp(depth * 0.05f - 0.4f, 0.0f, 1.0f);
                const float colour = matrix + 0.5f * field[j] * 10.0f - 58.0f * rim;
                grey[j] += cover * (colour - grey[j]);
            }
        }
        noise_run(w.synapse, z, y, x, er);
        const float r = 0.78f * w.set.membrane;
        for (int j = 0; j < n; ++j) {
            float share = membrane_share(clear[j], slab[j], r);
            share -= 0.30f * membrane_share(clear[j], slab[j], 0.3f * r);
            if (second_at[j] >= 0 && er[j] > 0.42f) {  // a synapse: dense matter on one side of the membrane
                const uint32_t mine = segments[first_at[j]].look, theirs = segments[second_at[j]].look;
                if (kind_of(mine) != glia && kind_of(theirs) != glia && (mine > theirs))
                    share += clamp((er[j] - 0.42f) * 6.0f, 0.0f, 1.0f) * clamp(1.15f - clear[j] * 0.026f, 0.0f, 0.8f);
            }
            share = least(share, 1.0f);
            grey[j] += 0.92f * share * (52.0f - grey[j]);
        }

        // The microscope: shading, section contrast, grain of the detector.
        noise_run(w.shade, z, y, x, er);
        noise_run(w.speckle, static_cast<float>(at[0]), y, x, field);
        const uint32_t white = mix(mix(w.white_key, static_cast<uint32_t>(at[0])), static_cast<uint32_t>(at[1]));
        const int64_t from = row * shape.x - w.set.origin[2];
        const int64_t low = w.set.origin[2] - at[2], high = w.set.origin[2] + shape.x - at[2];
        uint8_t seen[n], room[n];
        for (int j = 0; j < n; ++j) {
            const uint32_t h = mix(white, static_cast<uint32_t>(at[2] + j));
            const float bell =
                static_cast<float>((h & 255u) + ((h >> 8) & 255u) + ((h >> 16) & 255u) + (h >> 24)) - 510.0f;
            const float grain = w.set.noise * (0.075f * bell + 11.0f * field[j]);
            float v = 128.0f + (grey[j] + 7.0f * er[j] - 128.0f) * sec.gain * 1.25f + sec.offset + grain;
            if (sec.state == Section::missing) v = 6.0f + 0.02f * bell;
            seen[j] = static_cast<uint8_t>(static_cast<int>(clamp(v, 0.0f, 255.0f) + 0.5f));
            room[j] = static_cast<uint8_t>(static_cast<int>(clamp(2.0f * clear[j], 0.0f, 255.0f)));
        }
        for (int j = static_cast<int>(most(0.0f, static_cast<float>(low))); j < n && j < high; ++j) {
            const int64_t v = from + at[2] + j;
            out.image[v] = seen[j];
            out.owner[v] = owner[j];
            out.mitochondria[v] = inside[j] < 0.0f ? organelle[j] : 0u;
            clearance[v] = room[j];
        }
    }
};

// What a network would say of the edges between a run of voxels and those before them: low at membranes, with gaps where
// it overlooked one and sheets where it saw one that is not there, wider and softer than the truth, and never quite sure.
struct Affinity {
    World w;
    Result out;
    const uint8_t* clearance;

    EMFAST_HD EMFAST_INLINE void operator()(int64_t i) const {
        constexpr int n = run_length;
        const Shape& shape = w.set.shape;
        const int64_t row = i / w.runs_per_row, run = i - row * w.runs_per_row;
        const int64_t at[3] = {w.set.origin[0] + row / shape.y, w.set.origin[1] + row % shape.y,
                               (w.run_first + run) * run_length};
        const float z = w.z_of(at[0]), y = w.y_of(at[1]);
        float x[n], faint[n], gap[n], sheet[n], where[n], doubt[n];
        for (int j = 0; j < n; ++j) x[j] = w.x_of(at[2] + j);
        noise_run(w.faint, z, y, x, faint);
        noise_run(w.gap, z, y, x, gap);
        noise_run(w.false_sheet, z, y, x, sheet);
        noise_run(w.false_where, z, y, x, where);
        for (int j = 0; j < n; ++j) {
            gap[j] =
                1.0f - 0.97f * clamp((gap[j] + 0.10f * faint[j] - 1.15f + 0.38f * w.set.errors) * 7.0f, 0.0f, 1.0f);
            const float seen = clamp((where[j] - 0.80f + 0.35f * w.set.errors) * 4.0f, 0.0f, 1.0f);
            sheet[j] = 0.9f * seen * smooth(clamp(1.3f - absolute(sheet[j]) * 14.0f, 0.0f, 1.0f));
        }

        const bool lost = section(w, at[0]).state == Section::missing;
        const float scale = 0.625f / w.set.membrane;  // half sure at 0.6 of a membrane's thickness from its middle
        const int64_t low = w.set.origin[2] - at[2], high = w.set.origin[2] + shape.x - at[2];
        for (int channel = 0; channel < 3; ++channel) {
            noise_run(w.doubt[channel], z, y, x, doubt);
            const uint32_t white =
                mix(mix(w.doubt_key[channel], static_cast<uint32_t>(at[0])), static_cast<uint32_t>(at[1]));
            const int64_t step = channel == 0 ? shape.y * shape.x : channel == 1 ? shape.x : 1;
            const bool face = (channel == 0 && row < shape.y) || (channel == 1 && row % shape.y == 0);
            uint8_t* const to = out.affinities + channel * shape.voxels();
            for (int j = low > 0 ? static_cast<int>(low) : 0; j < n && j < high; ++j) {
                const int64_t v = row * shape.x + at[2] + j - w.set.origin[2];
                if (face || (channel == 2 && j == low)) {
                    to[v] = 0;
                    continue;
                }
                const int64_t u = v - step;
                const uint8_t near = clearance[v] < clearance[u] ? clearance[v] : clearance[u];
                float wall = smooth(clamp(1.25f - static_cast<float>(near) * scale, 0.0f, 1.0f));
                if (out.owner[v] != out.owner[u]) wall = most(wall, 0.94f);
                wall = most(wall * (0.94f + 0.06f * faint[j]) * gap[j], sheet[j]);
                if (out.mitochondria[v] != out.mitochondria[u]) wall = most(wall, 0.30f + 0.22f * faint[j]);
                const float unsure = 0.012f + 0.22f * wall * (1.0f - wall);
                const float white_noise = both(mix(white, static_cast<uint32_t>(at[2] + j)));
                float affinity = 0.985f - 0.965f * wall + unsure * (1.1f * doubt[j] + 0.5f * white_noise);
                if (lost) affinity = 0.45f + 0.25f * doubt[j];
                to[v] = static_cast<uint8_t>(static_cast<int>(clamp(affinity, 0.0f, 1.0f) * 255.0f + 0.5f));
            }
        }
    }
};

struct Membranes {
    uint32_t* owner;
    const uint8_t* clearance;
    uint8_t thin;
    EMFAST_HD void operator()(int64_t i) const {
        if (clearance[i] < thin) owner[i] = 0;
    }
};

// ---- Schedule ----------------------------------------------------------------------------------------------------------------

struct EachBody {
    template <class Body>
    void operator()(Executor& ex, int64_t n, const Body& body) const {
        ex.for_each(n, body);
    }
};

inline World describe(const Settings& s) {
    World w{};
    w.set = s;
    const float c = s.calibre;
    uint32_t stream = 0;
    auto key = [&] { return stream_key(s.seed, ++stream); };
    // No lattice is finer than a voxel and a quarter: runs have room for that, and finer noise would only alias.
    auto lattice = [&](float wavelength_z, float wavelength) {
        const float lz = std::max(wavelength_z, 1.25f * s.spacing[0]), ly = std::max(wavelength, 1.25f * s.spacing[1]);
        return Lattice{key(), 1.0f / lz, 1.0f / ly, 1.0f / std::max(wavelength, 1.25f * s.spacing[2])};
    };
    const float wavelengths[3] = {2.1f * c, 0.66f * c, 0.24f * c}, amounts[3] = {0.32f * c, 0.085f * c, 0.016f * c};
    for (int a = 0; a < 9; ++a) w.warp[a] = lattice(wavelengths[a / 3], wavelengths[a / 3]);
    for (int a = 0; a < 3; ++a) w.warp_amount[a] = amounts[a];
    w.grain = lattice(28, 17);
    w.blotch = lattice(60, 48);
    w.synapse = lattice(0.9f * c, 0.9f * c);
    w.reticulum = lattice(0.6f * c, 0.6f * c);
    w.reticulum_where = lattice(1.1f * c, 1.1f * c);
    w.vesicle_where = lattice(1.3f * c, 1.3f * c);
    w.crista = lattice(90, 90);
    w.shade = lattice(4.0f * s.spacing[0], 1100);
    w.speckle = lattice(1, 1.6f * s.spacing[2]);
    w.speckle.per_z = 1;  // sections, not nanometres
    w.gap = lattice(0.42f * c, 0.42f * c);
    w.faint = lattice(0.7f * c, 0.7f * c);
    w.false_sheet = lattice(1.2f * c, 1.2f * c);
    w.false_where = lattice(1.1f * c, 1.1f * c);
    for (auto& l : w.doubt) l = lattice(45, 26);
    w.walk_key = key(), w.section_key = key(), w.white_key = key(), w.vesicle_key = key();
    for (auto& k : w.doubt_key) k = key();

    w.slack = 4.5f * s.membrane + s.spacing[0] + (s.defects > 0 ? 0.35f * c : 0.0f);

    const int64_t side[3] = {s.shape.z, s.shape.y, s.shape.x};
    w.cell = 4.2f * c;
    const float margin = segments_per_neurite * 1.2f * c + 4.0f * c;
    for (int a = 0; a < 3; ++a) {
        // The finest blocks are about a third of a calibre wide, and a run of 16 along x at least; each coarser one is four
        // of those wide.
        const auto fine = static_cast<int64_t>(0.35f * c / s.spacing[a]);
        w.block_size[levels - 1][a] =
            a == 2 ? std::max<int64_t>(fine / run_length, 1) * run_length : std::clamp<int64_t>(fine, 1, 64);
        for (int level = levels - 2; level >= 0; --level) w.block_size[level][a] = 4 * w.block_size[level + 1][a];
        for (int level = 0; level < levels; ++level) {
            w.block_first[level][a] = floor_div(s.origin[a], w.block_size[level][a]);
            w.block_count[level][a] =
                floor_div(s.origin[a] + side[a] - 1, w.block_size[level][a]) - w.block_first[level][a] + 1;
        }
        const float low = static_cast<float>(s.origin[a]) * s.spacing[a] - margin;
        const float high = static_cast<float>(s.origin[a] + side[a]) * s.spacing[a] + margin;
        w.cell_first[a] = below(low / w.cell);
        w.cell_count[a] = below(high / w.cell) - w.cell_first[a] + 1;
    }
    w.run_first = floor_div(s.origin[2], run_length);
    w.runs_per_row = floor_div(s.origin[2] + s.shape.x - 1, run_length) - w.run_first + 1;
    return w;
}

template <class Sweep>
void build(Executor& ex, const Settings& s, const Result& out, const Sweep& sweep) {
    if (s.shape.voxels() == 0) return;
    const World w = describe(s);
    const int64_t neurites = w.cell_count[0] * w.cell_count[1] * w.cell_count[2] * neurites_per_cell;
    const int64_t total = neurites * segments_per_neurite;
    if (total > int64_t(1) << 24)
        refuse("the window holds about ", neurites,
               " neurites, more than a phantom can: raise calibre, or lower spacing or shape");
    auto segments = ex.scratch<Segment>(total);
    ex.for_each(neurites, Neurites{w, segments.data()});

    Nearby nearby{segments.data(), {}, {}};
    const int64_t side[3] = {s.shape.z, s.shape.y, s.shape.x};
    for (int a = 0; a < 3; ++a) {
        nearby.low[a] = static_cast<float>(s.origin[a]) * s.spacing[a] - 4.0f * s.calibre;
        nearby.high[a] = static_cast<float>(s.origin[a] + side[a]) * s.spacing[a] + 4.0f * s.calibre;
    }
    auto all = ex.scratch<int32_t>(total);
    const int64_t near = ex.compact(total, nearby, all.data());

    auto lists = [&](int level, const int32_t* parents, const int64_t* parent_starts, Scratch<int64_t>& begins) {
        const int64_t* count = w.block_count[level];
        const int64_t blocks = count[0] * count[1] * count[2];
        begins = ex.scratch<int64_t>(blocks + 1);
        Candidates body{w, segments.data(), level, parents, parent_starts, near, begins.data(), nullptr};
        ex.for_each(blocks, body);
        const int64_t sum = ex.scan(begins.data(), begins.data(), blocks);
        ex.store(begins.data() + blocks, sum);
        auto held = ex.scratch<int32_t>(sum);
        body.out = held.data();
        ex.for_each(blocks, body);
        return held;
    };
    Scratch<int64_t> starts[levels];
    Scratch<int32_t> list[levels];
    for (int level = 0; level < levels; ++level)
        list[level] = level == 0 ? lists(0, all.data(), nullptr, starts[0])
                                 : lists(level, list[level - 1].data(), starts[level - 1].data(), starts[level]);
    const int32_t* fine = list[levels - 1].data();
    const int64_t* fine_starts = starts[levels - 1].data();

    auto clearance = ex.scratch<uint8_t>(s.shape.voxels());
    const int64_t runs = s.shape.rows() * w.runs_per_row;
    sweep(ex, runs, Tissue{w, segments.data(), fine_starts, fine, out, clearance.data()});
    sweep(ex, runs, Affinity{w, out, clearance.data()});
    ex.for_each(s.shape.voxels(), Membranes{out.owner, clearance.data(), static_cast<uint8_t>(0.8f * s.membrane)});
}

}  // namespace emfast::phantom
