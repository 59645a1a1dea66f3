// The host sibling of _core. The core is cut into blocks whose edges fit the nearest memory:
//   1. Labels of a block and of the voxels around it become codes of 32 bits, ascending as the labels do: labels less a
//      constant where they are dense enough, else their ranks.
//   2. Rows of codes are compared 64 at a time; every voxel edge between two codes finds the record of its pair in a small
//      table of indices and is added there. Records lie in the order in which pairs are met, so a stretch of the block
//      works on a few kilobytes.
//   3. The records of all blocks (few pairs are met in two) are put in order by a counting sort on the lower code: codes
//      near in number are near in space, so it too stays in near memory; then by the higher code within its list.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <limits>
#include <type_traits>
#include <vector>

#include "core/dtypes.h"
#include "core/runs.h"
#include "region_graph/region_graph_body.h"

namespace emfast::region_graph {
namespace {

constexpr int64_t block_z = 16, block_y = 16, block_x = 256;
constexpr int64_t chunk_records = int64_t(1) << 17;  // of a worker's list
constexpr uint32_t piece_records = 12000;  // in one table; then it is emptied
constexpr uint32_t places = 1 << 15;
constexpr uint16_t none = 0xffff;
constexpr uint64_t most_codes = 0xfffffff0;

struct Record {
    uint64_t key;  // lower code << 32 | higher code
    uint64_t sum, id;
    uint32_t low, high, count;
    uint32_t faces[3];
};

struct Member {  // of the list of a lower code
    uint32_t code, record;
};

template <class T>
using Wide = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;  // holds a code and every label

// code = 0 for label 0, else (label ^ flip) - base; false if one is above limit.
template <class T>
EMFAST_INLINE bool encode_row(const T* labels, int64_t n, T flip, Wide<T> base, Wide<T> limit, uint32_t* codes) {
    Wide<T> over = 0;
    for (int64_t i = 0; i < n; ++i) {
        const T label = labels[i];
        const Wide<T> shifted = static_cast<T>(label ^ flip) - base, code = label ? shifted : 0;
        over |= static_cast<Wide<T>>(code > limit);
        codes[i] = static_cast<uint32_t>(code);
    }
    return over == 0;
}

#define EMFAST_ENCODE(T)                                                                                        \
    [[maybe_unused]] EMFAST_CLONES bool encode(const T* labels, int64_t n, T flip, Wide<T> base, Wide<T> limit, \
                                               uint32_t* codes) {                                               \
        return encode_row(labels, n, flip, base, limit, codes);                                                 \
    }
EMFAST_FOR_WIDTHS(EMFAST_ENCODE)
#undef EMFAST_ENCODE

template <class T>
struct Codes {
    T flip = 0;
    Wide<T> base = 0, limit = 0;
    const KeyTable* ids = nullptr;  // codes are ranks in it, from 1
    const int64_t* rank = nullptr;

    bool encode_all(const T* labels, int64_t n, uint32_t* codes) const {
        if (!ids) return encode(labels, n, flip, base, limit, codes);
        T label = 0;
        uint32_t code = 0;
        for (int64_t i = 0; i < n; ++i) {
            if (labels[i] != label) {
                label = labels[i];
                code = label ? static_cast<uint32_t>(rank[ids->find(label)] + 1) : 0;
            }
            codes[i] = code;
        }
        return true;
    }
};

// What one thread has met.
struct Worker {
    std::vector<Scratch<Record>> chunks;
    std::vector<int64_t> used;  // records of each chunk
    std::vector<Scratch<const uint8_t*>> bin_lists;  // by chunk: where a record's bins lie, one for each voxel edge
    std::vector<Scratch<uint8_t>> bytes;
    int64_t bytes_used = 0, bytes_room = 0;
    Record* records = nullptr;
    uint32_t count = 0;  // in the table now
    std::vector<uint16_t> table;
    std::vector<uint32_t> rows, far_row;
    std::vector<uint32_t> met;  // record << 8 | bin of each voxel edge since the table was emptied
    Scratch<int64_t> sizes;  // voxels by code; pages of codes that never come are never touched
    uint32_t top = 0;  // the largest code met
    int64_t refused = std::numeric_limits<int64_t>::max();
    bool over = false;

    // Begins with an empty table at the end of the list.
    void begin(Executor& ex, bool histogram) {
        if (table.empty()) table.resize(places);
        std::fill(table.begin(), table.end(), none);
        count = 0;
        met.clear();
        if (chunks.empty() || used.back() + piece_records > chunk_records) {
            chunks.push_back(ex.scratch<Record>(chunk_records));
            used.push_back(0);
            if (histogram) bin_lists.push_back(ex.scratch<const uint8_t*>(chunk_records));
        }
        records = chunks.back().data() + used.back();
    }

    // Closes the piece: bins are brought together record by record.
    void end(Executor& ex, bool histogram) {
        if (histogram && !met.empty()) {
            const int64_t n = static_cast<int64_t>(met.size());
            if (bytes_used + n > bytes_room) {
                bytes_room = std::max<int64_t>(n, int64_t(1) << 22);
                bytes_used = 0;
                bytes.push_back(ex.scratch<uint8_t>(bytes_room));
            }
            uint8_t* at = bytes.back().data() + bytes_used;
            bytes_used += n;
            std::vector<uint8_t*> to(count);
            const uint8_t** lists = bin_lists.back().data() + used.back();
            for (uint32_t r = 0; r < count; ++r) {
                lists[r] = to[r] = at;
                at += records[r].count;
            }
            for (const uint32_t m : met) *to[m >> 8]++ = static_cast<uint8_t>(m);
        }
        for (uint32_t r = 0; r < count; ++r) top = std::max(top, static_cast<uint32_t>(records[r].key));
        used.back() += count;
    }

    EMFAST_INLINE Record& record(uint64_t key) {
        uint32_t at = static_cast<uint32_t>((key * 0x9E3779B97F4A7C15ull) >> 49);
        for (;; at = (at + 1) & (places - 1)) {
            const uint16_t r = table[at];
            if (r == none) break;
            if (records[r].key == key) return records[r];
        }
        table[at] = static_cast<uint16_t>(count);
        Record& fresh = records[count++];
        fresh = {key, 0, ~uint64_t(0), ~uint32_t(0), 0, 0, {}};
        return fresh;
    }
};

struct Block {
    int64_t low[3], high[3];
};

template <class T, class A>
class Rows final : public Build {
  public:
    Rows(Executor& ex, View<const T> labels, const A* affinities, const Options& o)
        : labels_(labels), affinities_(affinities), options_(o), core_(core_of(o)) {
        if (labels.size() == 0) return;
        // Fragments are mostly numbered from 1 on, so that is tried first; the range of the labels is looked at, and a
        // table of all labels made, only where it fails.
        const uint64_t dense = std::max<uint64_t>(static_cast<uint64_t>(labels.size()) * 2, 1 << 16);
        codes_.limit =
            static_cast<Wide<T>>(std::min<uint64_t>({dense, most_codes, o.flip ? o.flip - 1 : ~uint64_t(0)}));
        if (!scan(ex)) {
            find_range(ex, dense);
            scan(ex);
        }
        refused = std::numeric_limits<int64_t>::max();  // none
        for (const Worker& worker : workers_) refused = std::min(refused, worker.refused);
        if (refused != std::numeric_limits<int64_t>::max()) return;
        refused = -1;
        order(ex);
        find_nodes(ex);
    }

    void write(Executor& ex, const Columns& to) override {
        if (to.starts) to.starts[edges] = bins;
        if (nodes == 0) return;
        ex.for_chunks(codes(), ex.grain(codes(), 1 << 12), [&](int64_t begin, int64_t end, int) {
            std::array<int64_t, 256> bin_counts{};
            for (int64_t u = begin; u < end; ++u) write_list(u, to, bin_counts);
        });
        ex.for_chunks(nodes, ex.grain(nodes), [&](int64_t begin, int64_t end, int) {
            for (int64_t i = begin; i < end; ++i) {
                const uint32_t code = node_codes_[i] + 1;
                static_cast<T*>(to.nodes)[i] = label_of(code);
                to.sizes[i] = sizes_[code];
            }
        });
    }

  private:
    int64_t codes() const { return static_cast<int64_t>(top_) + 1; }

    T label_of(uint32_t code) const {
        if (codes_.ids) return static_cast<T>(ids_.sorted.keys[code - 1] ^ codes_.flip);
        return static_cast<T>(static_cast<T>(code + codes_.base) ^ codes_.flip);
    }

    void find_range(Executor& ex, uint64_t dense) {
        const T flip = static_cast<T>(options_.flip);
        struct Range {
            T low = std::numeric_limits<T>::max(), high = 0;
        };
        std::vector<Range> ranges(ex.threads());
        ex.for_chunks(labels_.size(), ex.grain(labels_.size()), [&](int64_t begin, int64_t end, int worker) {
            Range range = ranges[worker];
            for (int64_t i = begin; i < end; ++i) {
                if (labels_[i] == 0) continue;
                const T value = labels_[i] ^ flip;
                range.low = std::min(range.low, value);
                range.high = std::max(range.high, value);
            }
            ranges[worker] = range;
        });
        for (const Range& range : ranges) {
            ranges[0].low = std::min(ranges[0].low, range.low);
            ranges[0].high = std::max(ranges[0].high, range.high);
        }
        const uint64_t span = static_cast<uint64_t>(ranges[0].high) - ranges[0].low;
        codes_.flip = flip;
        if (span < std::min(dense, most_codes)) {
            codes_.base = static_cast<Wide<T>>(ranges[0].low) - 1;
            codes_.limit = static_cast<Wide<T>>(span + 1);
            return;
        }
        ids_.memory = collect_ids(ex, labels_, true, 0);
        ids_.sorted = sorted_keys(ex, ids_.memory.table, options_.flip, labels_.size());
        if (ids_.sorted.count >= int64_t(most_codes)) refuse("region_graph takes fewer than 2^32 fragments in a call");
        codes_.ids = &ids_.memory.table;
        codes_.rank = ids_.sorted.rank.data();
        codes_.limit = static_cast<Wide<T>>(ids_.sorted.count);
    }

    // Adds all blocks; false if a label has no code.
    bool scan(Executor& ex) {
        workers_.clear();
        workers_.resize(ex.threads());
        const Shape& core = core_.shape;
        if (core.voxels() == 0) return true;
        const int64_t nz = (core.z - 1) / block_z + 1, ny = (core.y - 1) / block_y + 1, nx = (core.x - 1) / block_x + 1;
        std::atomic<bool> over{false};
        ex.for_chunks(nz * ny * nx, 1, [&](int64_t i, int64_t, int w) {
            if (over.load(std::memory_order_relaxed)) return;
            Worker& worker = workers_[w];
            if (!worker.sizes.data()) worker.sizes = zeros(ex, static_cast<int64_t>(codes_.limit) + 1);
            const int64_t z = core_.low.z + i / (ny * nx) * block_z, y = core_.low.y + i / nx % ny * block_y;
            const int64_t x = core_.low.x + i % nx * block_x;
            const Point& high = options_.high;
            scan_block(ex, worker,
                       {{z, y, x},
                        {std::min(z + block_z, high.z), std::min(y + block_y, high.y), std::min(x + block_x, high.x)}});
            if (worker.over) over.store(true, std::memory_order_relaxed);
        });
        return !over;
    }

    void scan_block(Executor& ex, Worker& worker, const Block& b) {
        const Shape& s = labels_.shape;
        const int64_t side[3] = {s.z, s.y, s.x};
        // The voxels around that offsets of one step reach. Longer ones have their rows encoded when they are needed.
        int64_t low[3], high[3];
        for (int a = 0; a < 3; ++a) {
            bool back = false, forth = false;
            for (const Offset& o : options_.offsets) {
                const int64_t step = a == 0 ? o.z : a == 1 ? o.y : o.x;
                back |= step == -1;
                forth |= step == 1;
            }
            low[a] = std::max<int64_t>(0, b.low[a] - back);
            high[a] = std::min(side[a], b.high[a] + forth);
        }
        const int64_t width = high[2] - low[2], depth = high[1] - low[1];
        worker.rows.resize((high[0] - low[0]) * depth * width);
        auto row = [&](int64_t z, int64_t y) {  // such that [x] is the code of voxel (z, y, x)
            return worker.rows.data() + ((z - low[0]) * depth + y - low[1]) * width - low[2];
        };
        bool fits = true;
        for (int64_t z = low[0]; z < high[0]; ++z)
            for (int64_t y = low[1]; y < high[1]; ++y)
                fits &= codes_.encode_all(labels_.data + s.index(z, y, low[2]), width, row(z, y) + low[2]);
        worker.over |= !fits;
        if (worker.over) return;

        const auto channels = static_cast<int64_t>(options_.offsets.size());
        worker.begin(ex, options_.histogram);
        for (int64_t z = b.low[0]; z < b.high[0]; ++z)
            for (int64_t y = b.low[1]; y < b.high[1]; ++y) {
                count_voxels(worker, row(z, y), b.low[2], b.high[2]);
                for (int64_t c = 0; c < channels; ++c) {
                    const Offset& o = options_.offsets[c];
                    const int64_t tz = z + o.z, ty = y + o.y;
                    const int64_t x0 = std::max(b.low[2], -o.x), x1 = std::min(b.high[2], s.x - o.x);
                    if (tz < 0 || tz >= s.z || ty < 0 || ty >= s.y || x0 >= x1) continue;
                    const uint32_t* target;
                    if (tz >= low[0] && tz < high[0] && ty >= low[1] && ty < high[1] && x0 + o.x >= low[2] &&
                        x1 + o.x <= high[2]) {
                        target = row(tz, ty) + x0 + o.x;
                    } else {
                        worker.far_row.resize(block_x);
                        worker.over |= !codes_.encode_all(labels_.data + s.index(tz, ty, x0 + o.x), x1 - x0,
                                                          worker.far_row.data());
                        target = worker.far_row.data();
                    }
                    const int axis = axis_of(o);
                    if (worker.count + block_x > piece_records) {
                        worker.end(ex, options_.histogram);
                        worker.begin(ex, options_.histogram);
                    }
                    const int64_t voxel = s.index(z, y, x0);
                    const A* values = affinities_ + c * s.voxels() + voxel;
                    const Point& at = options_.origin;
                    const uint64_t id =
                        static_cast<uint64_t>(options_.whole.index(z + at.z, y + at.y, x0 + at.x) * channels + c);
                    if (options_.histogram)
                        add_row<true>(worker, row(z, y) + x0, target, x1 - x0, values, axis, id, channels,
                                      voxel * channels + c);
                    else
                        add_row<false>(worker, row(z, y) + x0, target, x1 - x0, values, axis, id, channels,
                                       voxel * channels + c);
                }
            }
        worker.end(ex, options_.histogram);
    }

    static void count_voxels(Worker& worker, const uint32_t* codes, int64_t low, int64_t high) {
        int64_t* const sizes = worker.sizes.data();
        uint32_t top = worker.top;
        each_run(codes, low, high, [&](int64_t from, int64_t to) {
            sizes[codes[from]] += to - from;
            top = std::max(top, codes[from]);
        });
        worker.top = top;
    }

    template <bool histogram>
    static EMFAST_INLINE void add_row(Worker& worker, const uint32_t* from, const uint32_t* to, int64_t n,
                                      const A* values, int axis, uint64_t id, int64_t channels, int64_t place) {
        std::array<uint64_t, block_x / 64> bits;
        differ_bits(from, to, n, bits.data());
        for (int64_t w = 0; w < bit_words(n); ++w)
            for (uint64_t word = bits[w]; word; word &= word - 1) {
                const int64_t k = w * 64 + std::countr_zero(word);
                const uint32_t u = from[k], v = to[k];
                if (!u || !v) continue;
                const A value = values[k];
                if (!Affinity<A>::valid(value)) {
                    worker.refused = std::min(worker.refused, place + k * channels);
                    continue;
                }
                Record& record = worker.record(u < v ? uint64_t(u) << 32 | v : uint64_t(v) << 32 | u);
                const uint32_t rank = Affinity<A>::order(value);
                record.sum += Affinity<A>::grid(value);
                record.id = std::min(record.id, id + static_cast<uint64_t>(k * channels));
                record.low = std::min(record.low, rank);
                record.high = std::max(record.high, rank);
                ++record.count;
                if (axis >= 0) ++record.faces[axis];
                if constexpr (histogram)
                    worker.met.push_back(static_cast<uint32_t>(&record - worker.records) << 8 |
                                         Affinity<A>::bin(value));
            }
    }

    // f(record, its number) for the records of a chunk.
    template <class F>
    void each_record(int64_t chunk, const F& f) const {
        const Record* records = chunks_[chunk];
        for (int64_t i = 0; i < used_[chunk]; ++i) f(records[i], static_cast<uint32_t>(chunk * chunk_records + i));
    }
    const Record& record(uint32_t number) const { return chunks_[number / chunk_records][number % chunk_records]; }
    const uint8_t* bins_of(uint32_t number) const { return bins_of_[number / chunk_records][number % chunk_records]; }

    // Lists of members by lower code, each ascending; numbers of edges before each list.
    void order(Executor& ex) {
        for (Worker& worker : workers_)
            for (size_t k = 0; k < worker.chunks.size(); ++k) {
                chunks_.push_back(worker.chunks[k].data());
                used_.push_back(worker.used[k]);
                if (options_.histogram) bins_of_.push_back(worker.bin_lists[k].data());
            }
        const auto n = static_cast<int64_t>(chunks_.size());
        if (n * chunk_records >= int64_t(1) << 32) refuse("region_graph takes fewer than 2^32 edges in a call");
        int64_t total = 0;
        for (const int64_t used : used_) total += used;
        for (const Worker& worker : workers_) top_ = std::max(top_, worker.top);

        const bool alone = ex.threads() == 1;
        starts_ = ex.scratch<int64_t>(codes() + 1);
        ex.fill(starts_.data(), codes() + 1, int64_t(0));
        ex.for_chunks(n, 1, [&](int64_t chunk, int64_t, int) {
            each_record(chunk, [&](const Record& r, uint32_t) {
                int64_t& count = starts_[r.key >> 32];
                if (alone) ++count;
                else atomic_add(count, int64_t(1));
            });
        });
        ex.scan(starts_.data(), starts_.data(), codes() + 1);
        members_ = ex.scratch<Member>(total);
        auto next = ex.scratch<int64_t>(codes());
        ex.copy(starts_.data(), next.data(), codes());
        ex.for_chunks(n, 1, [&](int64_t chunk, int64_t, int) {
            each_record(chunk, [&](const Record& r, uint32_t number) {
                int64_t& at = next[r.key >> 32];
                members_[alone ? at++ : atomic_add(at, int64_t(1))] = {static_cast<uint32_t>(r.key), number};
            });
        });
        first_ = ex.scratch<int64_t>(codes());
        if (options_.histogram) first_bin_ = ex.scratch<int64_t>(codes());
        ex.for_chunks(codes(), ex.grain(codes(), 1 << 12), [&](int64_t begin, int64_t end, int) {
            for (int64_t u = begin; u < end; ++u) sort_list(u);
        });
        edges = ex.scan(first_.data(), first_.data(), codes());
        if (options_.histogram) bins = ex.scan(first_bin_.data(), first_bin_.data(), codes());
    }

    void sort_list(int64_t u) {
        Member *const begin = members_.data() + starts_[u], *const end = members_.data() + starts_[u + 1];
        auto before = [](const Member& a, const Member& b) { return a.code < b.code; };
        if (end - begin > 24) {
            std::sort(begin, end, before);
        } else {
            for (Member* m = begin + (begin != end); m < end; ++m) {
                const Member moved = *m;
                Member* to = m;
                for (; to > begin && before(moved, to[-1]); --to) *to = to[-1];
                *to = moved;
            }
        }
        int64_t distinct = 0, distinct_bins = 0;
        for (const Member* m = begin; m < end;) {
            const Member* next = m + 1;
            while (next < end && next->code == m->code) ++next;
            ++distinct;
            if (options_.histogram) distinct_bins += count_bins(m, next);
            m = next;
        }
        first_[u] = distinct;
        if (options_.histogram) first_bin_[u] = distinct_bins;
    }

    int64_t count_bins(const Member* m, const Member* end) const {
        std::array<uint64_t, 4> seen{};
        for (; m < end; ++m) {
            const uint8_t* bins = bins_of(m->record);
            for (uint32_t i = 0; i < record(m->record).count; ++i) seen[bins[i] >> 6] |= uint64_t(1) << (bins[i] & 63);
        }
        return std::popcount(seen[0]) + std::popcount(seen[1]) + std::popcount(seen[2]) + std::popcount(seen[3]);
    }

    void write_list(int64_t u, const Columns& to, std::array<int64_t, 256>& bin_counts) const {
        const Member *m = members_.data() + starts_[u], *const end = members_.data() + starts_[u + 1];
        if (m == end) return;
        using Bits = typename Affinity<A>::Bits;
        int64_t e = first_[u], bin = to.starts ? first_bin_[u] : 0;
        const T label = label_of(static_cast<uint32_t>(u));
        for (; m < end; ++e) {
            const Member* next = m + 1;
            const Record& first = record(m->record);
            int64_t count = first.count, faces[3] = {first.faces[0], first.faces[1], first.faces[2]};
            uint64_t sum = first.sum, id = first.id;
            uint32_t low = first.low, high = first.high;
            for (; next < end && next->code == m->code; ++next) {
                const Record& more = record(next->record);
                count += more.count;
                sum += more.sum;
                id = std::min(id, more.id);
                low = std::min(low, more.low);
                high = std::max(high, more.high);
                for (int k = 0; k < 3; ++k) faces[k] += more.faces[k];
            }
            static_cast<T*>(to.edges)[2 * e] = label;
            static_cast<T*>(to.edges)[2 * e + 1] = label_of(m->code);
            to.counts[e] = count;
            to.sums[e] = static_cast<int64_t>(sum);
            static_cast<Bits*>(to.low)[e] = static_cast<Bits>(low);
            static_cast<Bits*>(to.high)[e] = static_cast<Bits>(high);
            to.ids[e] = static_cast<int64_t>(id);
            for (int k = 0; k < 3; ++k) to.faces[3 * e + k] = faces[k];
            if (to.starts) {
                to.starts[e] = bin;
                bin = write_bins(m, next, bin, to, bin_counts);
            }
            m = next;
        }
    }

    int64_t write_bins(const Member* m, const Member* end, int64_t bin, const Columns& to,
                       std::array<int64_t, 256>& counts) const {
        std::array<uint64_t, 4> seen{};
        for (; m < end; ++m) {
            const uint8_t* bins = bins_of(m->record);
            for (uint32_t i = 0; i < record(m->record).count; ++i) {
                seen[bins[i] >> 6] |= uint64_t(1) << (bins[i] & 63);
                ++counts[bins[i]];
            }
        }
        for (int w = 0; w < 4; ++w)
            for (uint64_t word = seen[w]; word; word &= word - 1, ++bin) {
                const int value = w * 64 + std::countr_zero(word);
                to.bins[bin] = static_cast<uint8_t>(value);
                to.bin_counts[bin] = counts[value];
                counts[value] = 0;
            }
        return bin;
    }

    // Codes with a voxel in the core or at an edge.
    void find_nodes(Executor& ex) {
        sizes_ = std::move(workers_[0].sizes);
        for (Worker& worker : workers_) {
            if (!worker.sizes.data()) continue;
            if (!sizes_.data()) {
                sizes_ = std::move(worker.sizes);
                continue;
            }
            const int64_t n = std::min(codes(), static_cast<int64_t>(worker.top) + 1);
            ex.for_chunks(n, ex.grain(n), [&](int64_t begin, int64_t end, int) {
                for (int64_t i = begin; i < end; ++i) sizes_[i] += worker.sizes[i];
            });
            worker.sizes = {};
        }
        if (!sizes_.data()) return;
        Scratch<uint8_t> ends;
        if (core_.shape.voxels() != labels_.size()) {  // only then may an edge end at a fragment without a voxel here
            ends = ex.scratch<uint8_t>(codes());
            ex.fill(ends.data(), codes(), uint8_t(0));
            ex.for_chunks(static_cast<int64_t>(chunks_.size()), 1, [&](int64_t chunk, int64_t, int) {
                each_record(chunk, [&](const Record& r, uint32_t) {
                    atomic_store(ends[r.key >> 32], uint8_t(1));
                    atomic_store(ends[static_cast<uint32_t>(r.key)], uint8_t(1));
                });
            });
        }
        node_codes_ = ex.select<uint32_t>(
            codes() - 1, [&](int64_t i) { return sizes_[i + 1] != 0 || (ends.data() && ends[i + 1] != 0); });
        nodes = node_codes_.size();
    }

    // Fresh pages are zero, and those that stay untouched cost nothing.
    static Scratch<int64_t> zeros(Executor& ex, int64_t n) {
        auto out = ex.scratch<int64_t>(n);
        if (!HostMemory::gives_zeros(n * int64_t(sizeof(int64_t)))) std::fill_n(out.data(), n, int64_t(0));
        return out;
    }

    const View<const T> labels_;
    const A* const affinities_;
    const Options options_;
    const Core core_;
    Codes<T> codes_;
    Ordered ids_;
    std::vector<Worker> workers_;
    uint32_t top_ = 0;
    std::vector<const Record*> chunks_;
    std::vector<int64_t> used_;
    std::vector<const uint8_t* const*> bins_of_;
    Scratch<int64_t> starts_, first_, first_bin_, sizes_;
    Scratch<Member> members_;
    Scratch<uint32_t> node_codes_;  // less one
};

}  // namespace

template <class T, class A>
std::unique_ptr<Build> build(Executor& ex, View<const T> labels, const A* affinities, const Options& options) {
    if constexpr (scrambled) return std::make_unique<BuildAnywhere<T, A>>(ex, labels, affinities, options);
    else return std::make_unique<Rows<T, A>>(ex, labels, affinities, options);
}

#define EMFAST_INSTANTIATE(T)                                                                                    \
    template std::unique_ptr<Build> build<T, uint8_t>(Executor&, View<const T>, const uint8_t*, const Options&); \
    template std::unique_ptr<Build> build<T, Half>(Executor&, View<const T>, const Half*, const Options&);       \
    template std::unique_ptr<Build> build<T, float>(Executor&, View<const T>, const float*, const Options&);
EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)

}  // namespace emfast::region_graph
