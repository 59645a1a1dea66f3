// On the host in all three modules: a table of pairs is small beside the volumes it was counted from.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/pause.h"
#include "matching/matching.h"

namespace emfast::matching {

inline void require_inside(const Graph& g) {
    for (int64_t k = 0; k < g.pairs; ++k)
        if (g.rows[k] < 0 || g.rows[k] >= g.height || g.columns[k] < 0 || g.columns[k] >= g.width)
            refuse("pair ", k, " is outside of ", g.height, " rows and ", g.width, " columns");
}

void greedy(const Graph& g, uint8_t* taken) {
    require_inside(g);
    std::vector<uint8_t> used_rows(g.height), used_columns(g.width);
    for (int64_t k = 0; k < g.pairs; ++k) {
        uint8_t &row = used_rows[g.rows[k]], &column = used_columns[g.columns[k]];
        taken[k] = !row && !column;
        row |= taken[k];
        column |= taken[k];
    }
}

// Lengths are losses of gain. With the prices of rows and columns, which are not negative, the length of a pair is
// row price + column price - gain: never negative, and 0 for the pairs of the matching. A free column costs nothing, and a
// row may be left free at its price.
class Assignment {
  public:
    Assignment(const Graph& g, const Gain* gains)
        : g_(g),
          gains_(gains),
          starts_(g.height + 1),
          row_prices_(g.height),
          column_prices_(g.width),
          matched_(g.width, none),
          column_of_(g.height, none),
          distances_(g.width),
          via_(g.width),
          states_(g.width) {
        for (int64_t k = 0; k < g.pairs; ++k) {
            if (k && g.rows[k] < g.rows[k - 1]) refuse("rows must ascend, pair ", k, " does not");
            ++starts_[g.rows[k] + 1];
        }
        for (int64_t i = 0; i < g.height; ++i) starts_[i + 1] += starts_[i];
    }

    void run(Executor& ex) {
        for (int64_t i = 0; i < g_.height; ++i) {
            if (i % 1024 == 0) pause(ex);
            if (starts_[i] < starts_[i + 1]) add(i);
        }
    }

    void write(uint8_t* taken) const {
        std::fill(taken, taken + g_.pairs, uint8_t(0));
        for (int64_t k : matched_)
            if (k != none) taken[k] = 1;
    }

  private:
    static constexpr int64_t none = -1;
    enum State : uint8_t { untouched, queued, done };
    struct Entry {
        Gain distance;
        int64_t order, column;  // of equal distances the first reached comes first
        bool operator<(const Entry& o) const {
            return distance != o.distance ? o.distance < distance : o.order < order;
        }
    };
    // Where the shortest path ends: at a free column, or at a row that becomes free (then `column` is the one it gives up,
    // none for the new row itself).
    struct End {
        Gain distance;
        int64_t column;
        bool frees;
    };

    // Matches the row i, or leaves it or another free, so that the sum of gains is largest for the rows so far.
    void add(int64_t i) {
        Gain price{};
        for (int64_t k = starts_[i]; k < starts_[i + 1]; ++k)
            price = std::max(price, gains_[k] - column_prices_[g_.columns[k]]);
        row_prices_[i] = price;
        heap_.clear();
        touched_.clear();
        End end{price, none, true};
        relax(i, Gain{}, end);
        while (!heap_.empty()) {
            std::pop_heap(heap_.begin(), heap_.end());
            const Entry top = heap_.back();
            heap_.pop_back();
            if (!(top.distance < end.distance)) break;
            if (states_[top.column] == done || top.distance != distances_[top.column]) continue;
            states_[top.column] = done;
            const int64_t row = g_.rows[matched_[top.column]];
            const Gain exit = top.distance + row_prices_[row];
            if (exit < end.distance) end = {exit, top.column, true};
            relax(row, top.distance, end);
        }
        reprice(i, end.distance);
        augment(i, end);
        for (int64_t column : touched_) states_[column] = untouched;
    }

    void relax(int64_t row, const Gain& distance, End& end) {
        for (int64_t k = starts_[row]; k < starts_[row + 1]; ++k) {
            const int64_t column = g_.columns[k];
            if (states_[column] == done || matched_[column] == k) continue;
            const Gain next = distance + (row_prices_[row] + column_prices_[column] - gains_[k]);
            if (!(next < end.distance) || (states_[column] == queued && !(next < distances_[column]))) continue;
            if (states_[column] == untouched) {
                touched_.push_back(column);
                states_[column] = queued;
            }
            distances_[column] = next;
            via_[column] = k;
            if (matched_[column] == none) {
                end = {next, column, false};
            } else {
                heap_.push_back({next, reached_++, column});
                std::push_heap(heap_.begin(), heap_.end());
            }
        }
    }

    void reprice(int64_t i, const Gain& length) {
        row_prices_[i] = row_prices_[i] - length;
        for (int64_t column : touched_) {
            if (states_[column] != done || !(distances_[column] < length)) continue;
            const Gain change = length - distances_[column];
            column_prices_[column] = column_prices_[column] + change;
            Gain& price = row_prices_[g_.rows[matched_[column]]];
            price = price - change;
        }
    }

    void augment(int64_t i, const End& end) {
        if (end.column == none) return;
        if (end.frees) column_of_[g_.rows[matched_[end.column]]] = none;
        for (int64_t column = end.column, row = none; row != i;) {
            row = g_.rows[via_[column]];
            matched_[column] = via_[column];
            std::swap(column, column_of_[row]);
        }
    }

    const Graph g_;
    const Gain* gains_;
    std::vector<int64_t> starts_;  // of the pairs of each row
    std::vector<Gain> row_prices_, column_prices_;
    std::vector<int64_t> matched_;    // the pair of each column, or none
    std::vector<int64_t> column_of_;  // of each row, or none
    std::vector<Gain> distances_;     // these four: of the columns that a path has reached
    std::vector<int64_t> via_;
    std::vector<State> states_;
    std::vector<int64_t> touched_;
    std::vector<Entry> heap_;
    int64_t reached_ = 0;
};

void assign(Executor& ex, const Graph& g, const Gain* gains, uint8_t* taken) {
    require_inside(g);
    Assignment assignment(g, gains);
    assignment.run(ex);
    assignment.write(taken);
}

}  // namespace emfast::matching
