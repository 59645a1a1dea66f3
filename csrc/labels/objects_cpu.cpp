// The host's objects: runs of equal labels are joined, voxels are touched when reading and when writing.
#include <vector>

#include "core/dtypes.h"
#include "core/runs.h"
#include "labels/numbers.h"
#include "labels/objects_body.h"

namespace emfast::labels {

#if EMFAST_BACKEND == EMFAST_CORE

namespace {

// The runs of a volume and the objects they form. A group of rows is a piece of work; the runs of a group
// have their names one after another from the group's own first name, with a last name that marks the end,
// and a run's parent is a run of the same object that is not after it. Names have gaps between groups: their
// pages are never touched.
template <class T, class Id>
class Objects {
  public:
    Objects(Executor& ex, const T* labels, const Grid& grid, int reach, bool join_zero, bool per_section)
        : ex_(ex),
          shape_(grid.shape),
          reach_(reach),
          join_zero_(join_zero),
          per_section_(per_section),
          flat_(per_section || grid.planar),
          labels_(labels) {
        const int64_t wanted = std::clamp<int64_t>(shape_.voxels() / (ex.threads() * 8), 1 << 18, 1 << 23);
        rows_ = std::max<int64_t>(1, wanted / std::max<int64_t>(1, shape_.x));
        if (rows_ > shape_.y) rows_ = rows_ / shape_.y * shape_.y;
        groups_ = (shape_.rows() - 1) / rows_ + 1;
        start_ = ex.scratch<Id>(names());
        parent_ = ex.scratch<Id>(names());
        label_ = ex.scratch<T>(names());
        size_ = ex.scratch<Id>(names());
        touches_ = ex.scratch<uint8_t>(names());
        first_ = ex.scratch<Id>(shape_.rows() + groups_);
        roots_.resize(groups_);
        each_group([&](int64_t g, int64_t begin, int64_t end) { build(g, begin, end); });
        each_group([&](int64_t, int64_t begin, int64_t end) { seam(begin, end); });
        each_group([&](int64_t g, int64_t, int64_t) { settle(g); });
    }

    // f(group, first row, last row), in parallel
    template <class F>
    void each_group(F&& f) {
        ex_.for_chunks(shape_.rows(), rows_, [&](int64_t begin, int64_t end, int) { f(begin / rows_, begin, end); });
    }

    // f(run, begin, end, room) for a group's runs in order: room is the voxel after the group.
    template <class F>
    EMFAST_INLINE void runs(int64_t g, int64_t begin, int64_t end, F&& f) const {
        const Id from = first_[begin + g], to = first_[end + g];
        for (Id r = from; r < to; ++r) f(r, int64_t(start_[r]), int64_t(start_[r + 1]), end * shape_.x);
    }

    Id root(Id run) const {
        const Id up = parent_[run];
        return parent_[up];  // a run's root within its group, and that one's in the volume
    }

    // The roots of objects (and of cavities, if joined), ascending.
    std::vector<Id> roots() const {
        std::vector<Id> all;
        for (const auto& of_group : roots_)
            for (Id r : of_group)
                if (parent_[r] == r) all.push_back(r);
        return all;
    }

    int64_t rows() const { return rows_; }
    int64_t names() const { return shape_.voxels() + groups_; }
    T label(Id run) const { return label_[run]; }
    int64_t size(Id root) const { return static_cast<int64_t>(size_[root]); }
    bool touches(Id root) const { return touches_[root]; }
    Id* note() const { return size_.data(); }  // a word at every root, once sizes are done with

    // f(run, run) for all pairs of runs in this group that share a face with one of a former row, or a
    // neighbour in theirs.
    template <class F>
    void faces(int64_t g, int64_t begin, int64_t end, F&& f) const {
        for (int64_t row = begin; row < end; ++row) {
            const Id from = first_[row + g], to = first_[row + 1 + g];
            for (Id r = from + 1; r < to; ++r) f(r - 1, r);
            if (row % shape_.y) meet(row, row - 1, 0, f);
            if (!per_section_ && row >= shape_.y) meet(row, row - shape_.y, 0, f);
        }
    }

  private:
    void build(int64_t g, int64_t begin, int64_t end) {
        const int64_t x = shape_.x;
        const Id base = static_cast<Id>(begin * x + g);
        Id next = base;
        auto add = [&](int64_t from) {
            start_[next] = static_cast<Id>(from);
            label_[next] = labels_[from];
            parent_[next] = next;
            touches_[next] = 0;
            ++next;
        };
        for (int64_t row = begin; row < end; ++row) {
            const Id from = first_[row + g] = next;
            each_run(labels_, row * x, row * x + x, [&](int64_t at, int64_t) { add(at); });
            const int64_t y = row % shape_.y, z = row / shape_.y;
            if (y == 0 || y == shape_.y - 1 || (!flat_ && (z == 0 || z == shape_.z - 1)))
                std::fill(&touches_[from], &touches_[from] + (next - from), uint8_t(1));
            touches_[from] = touches_[next - 1] = 1;
        }
        first_[end + g] = next;
        start_[next] = static_cast<Id>(end * x);
        for (int64_t row = begin; row < end; ++row)
            neighbours(row, begin, end, [&](Id a, Id b) { unite(parent_.data(), a, b); });
        for (Id r = base; r < next; ++r) {
            const Id up = parent_[r] = parent_[parent_[r]], length = start_[r + 1] - start_[r];
            if (up == r) {
                size_[r] = length;
                if (join_zero_ || label_[r]) roots_[g].push_back(r);
            } else {
                size_[up] += length;
                touches_[up] |= touches_[r];
            }
        }
    }

    // Joins the group's first rows with those of former groups. Only roots within groups are ever hooked.
    void seam(int64_t begin, int64_t end) {
        for (int64_t row = begin; row < std::min(end, begin + shape_.y + 1); ++row)
            neighbours(row, 0, begin, [&](Id a, Id b) { unite_shared(parent_.data(), a, b); });
    }

    // A group's roots learn their roots in the volume, which learn the sizes.
    void settle(int64_t g) {
        for (Id r : roots_[g]) {
            Id top = r;
            for (Id up; (up = atomic_load(parent_[top])) != top;) top = up;
            if (top == r) continue;
            atomic_store(parent_[r], top);
            atomic_add(size_[top], size_[r]);
            if (touches_[r]) atomic_store(touches_[top], uint8_t(1));
        }
    }

    // unite(a, b) for the runs of a row and of those former rows that lie in [low, high), where they are of
    // one object.
    template <class Unite>
    void neighbours(int64_t row, int64_t low, int64_t high, Unite&& unite_runs) const {
        const int64_t y = row % shape_.y;
        auto look = [&](int64_t other, int reach, bool face) {
            if (other < low || other >= high) return;
            meet(row, other, reach, [&](Id a, Id b, bool overlap = true) {
                if (label_[a] != label_[b]) return;
                if (label_[a] ? true : join_zero_ && face && overlap) unite_runs(a, b);
            });
        };
        if (y > 0) look(row - 1, reach_ >= 2, true);
        if (per_section_ || row < shape_.y) return;
        look(row - shape_.y, reach_ >= 2, true);
        if (reach_ == 1) return;
        if (y > 0) look(row - shape_.y - 1, reach_ == 3, false);
        if (y < shape_.y - 1) look(row - shape_.y + 1, reach_ == 3, false);
    }

    // f(run of row, run of other) for those that overlap in x; with reach also f(…, …, false) for those that
    // meet at a corner. Both rows are full of runs, so two steps to the next end of either find everything.
    template <class F>
    EMFAST_INLINE void meet(int64_t row, int64_t other, int reach, F&& f) const {
        const int64_t ga = row / rows_, gb = other / rows_;
        Id a = first_[row + ga], b = first_[other + gb];
        const Id a_end = first_[row + 1 + ga], b_end = first_[other + 1 + gb];
        const Id shift = static_cast<Id>((row - other) * shape_.x);
        while (a < a_end) {
            f(a, b);
            const Id a_next = start_[a + 1], b_next = start_[b + 1] + shift;
            if (a_next == b_next) {
                if (reach && a + 1 < a_end && b + 1 < b_end) {
                    if constexpr (std::is_invocable_v<F, Id, Id, bool>) {
                        f(a, b + 1, false);
                        f(a + 1, b, false);
                    }
                }
                ++a;
                ++b;
            } else {
                a += a_next < b_next;
                b += a_next > b_next;
            }
        }
    }

    Executor& ex_;
    const Shape shape_;
    const int reach_;
    const bool join_zero_, per_section_, flat_;
    const T* const labels_;
    int64_t rows_, groups_;
    Scratch<Id> start_, parent_, size_, first_;
    Scratch<T> label_;
    Scratch<uint8_t> touches_;
    std::vector<std::vector<Id>> roots_;
};

// Writes the objects whose root has a note other than 0.
template <class T, class Id>
void write_kept(Objects<T, Id>& objects, T* out) {
    const Id* keep = objects.note();
    objects.each_group([&](int64_t g, int64_t begin, int64_t end) {
        objects.runs(g, begin, end, [&](Id run, int64_t from, int64_t to, int64_t room) {
            const T label = objects.label(run);
            fill_run(out, from, to, room, label && keep[objects.root(run)] ? label : T(0));
        });
    });
}

}  // namespace

template <class T>
int64_t dust(Executor& ex, const T* labels, const Grid& grid, int connectivity, int64_t low, int64_t high,
             Border border, bool invert, T* out) {
    if (grid.shape.voxels() == 0) return 0;
    return visit_id(grid.shape.voxels(), [&](auto id) {
        using Id = decltype(id);
        Objects<T, Id> objects(ex, labels, grid, reach_of(connectivity), false, false);
        const Sieve sieve{low, high, border, invert};
        int64_t kept = 0;
        for (Id r : objects.roots()) {
            const bool keep = sieve.keeps(objects.size(r), objects.touches(r));
            objects.note()[r] = keep;
            kept += keep;
        }
        write_kept(objects, out);
        return kept;
    });
}

template <class T>
int64_t largest(Executor& ex, const T* labels, const Grid& grid, int connectivity, int64_t k, T* out) {
    if (grid.shape.voxels() == 0) return 0;
    return visit_id(grid.shape.voxels(), [&](auto id) {
        using Id = decltype(id);
        Objects<T, Id> objects(ex, labels, grid, reach_of(connectivity), false, false);
        std::vector<Id> roots = objects.roots();
        const int64_t kept = std::min<int64_t>(k, static_cast<int64_t>(roots.size()));
        auto before = [&](Id a, Id b) {
            return objects.size(a) != objects.size(b) ? objects.size(a) > objects.size(b) : a < b;
        };
        if (kept < int64_t(roots.size())) std::nth_element(roots.begin(), roots.begin() + kept, roots.end(), before);
        for (size_t i = 0; i < roots.size(); ++i) objects.note()[roots[i]] = int64_t(i) < kept;
        write_kept(objects, out);
        return kept;
    });
}

template <class T>
int64_t fill_holes(Executor& ex, const T* labels, const Grid& grid, bool per_section, T* out) {
    if (grid.shape.voxels() == 0) return 0;
    return visit_id(grid.shape.voxels(), [&](auto id) {
        using Id = decltype(id);
        Objects<T, Id> objects(ex, labels, grid, 3, true, per_section);
        const std::vector<Id> roots = objects.roots();
        if (roots.size() >= nobody)
            refuse("labels must fall into fewer than 2**32 - 1 objects and cavities, got ", roots.size());
        const uint32_t nodes = static_cast<uint32_t>(roots.size());
        std::vector<uint8_t> outside(nodes), object(nodes);
        std::vector<int64_t> size(nodes);
        for (uint32_t k = 0; k < nodes; ++k) {
            outside[k] = objects.touches(roots[k]);
            object[k] = objects.label(roots[k]) != 0;
            size[k] = objects.size(roots[k]);
            objects.note()[roots[k]] = static_cast<Id>(k);
        }
        auto node = ex.scratch<Id>(objects.names());  // of every run
        objects.each_group([&](int64_t g, int64_t begin, int64_t end) {
            objects.runs(g, begin, end,
                         [&](Id run, int64_t, int64_t, int64_t) { node[run] = objects.note()[objects.root(run)]; });
        });
        // Neighbours repeat from row to row: most pairs are among those seen lately.
        struct Seen {
            Numbers<uint64_t> all;
            std::vector<uint64_t> lately = std::vector<uint64_t>(4096, ~uint64_t(0));
            std::vector<std::pair<uint32_t, uint32_t>> edges;
        };
        std::vector<Seen> seen(ex.threads());
        ex.for_chunks(grid.shape.rows(), objects.rows(), [&](int64_t begin, int64_t end, int worker) {
            Seen& mine = seen[worker];
            objects.faces(begin / objects.rows(), begin, end, [&](Id run, Id other) {
                if (node[run] == node[other]) return;
                const auto [a, b] = std::minmax({static_cast<uint32_t>(node[run]), static_cast<uint32_t>(node[other])});
                if (outside[a] && outside[b]) return;
                const uint64_t key = uint64_t(a) << 32 | b;
                uint64_t& last = mine.lately[(a * 31 + b) % 4096];
                if (last == key) return;
                last = key;
                mine.all.enter(key, [&](uint32_t) { mine.edges.emplace_back(a, b); });
            });
        });
        std::vector<std::pair<uint32_t, uint32_t>> edges;
        for (const Seen& s : seen) edges.insert(edges.end(), s.edges.begin(), s.edges.end());
        const std::vector<uint32_t> by = enclosures(nodes, edges, outside, object);
        int64_t changed = 0;
        for (uint32_t k = 0; k < nodes; ++k)
            if (by[k] != nobody && objects.label(roots[by[k]]) != objects.label(roots[k])) changed += size[k];
        objects.each_group([&](int64_t g, int64_t begin, int64_t end) {
            objects.runs(g, begin, end, [&](Id run, int64_t from, int64_t to, int64_t room) {
                const uint32_t who = by[node[run]];
                fill_run(out, from, to, room, objects.label(who == nobody ? run : roots[who]));
            });
        });
        return changed;
    });
}

#endif

EMFAST_FOR_WIDTHS(EMFAST_OBJECTS)

}  // namespace emfast::labels
