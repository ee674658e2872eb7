// The Python bindings of multi-index hashing. kinbits.hamming checks the arguments of a user. The shapes are checked
// again here, because a wrong one would read or write outside an array.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>

#include "multi_index.hpp"
#include "parallel.hpp"

namespace nb = nanobind;

namespace {

using kinbits::SearchLimits;
using kinbits::mih::GroupPair;
using kinbits::mih::Neighbours;

template <class T, int dimensions>
using Array = nb::ndarray<T, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;
using Bytes = Array<const std::uint8_t, 1>;
using CodeArray = Array<const std::uint8_t, 2>;
using Words = Array<const std::uint64_t, 1>;
using Integers = Array<const std::uint32_t, 1>;
template <class T>
using Owned = nb::ndarray<nb::numpy, T, nb::ndim<1>>;

constexpr unsigned max_substring = 28;

void require(bool fits) {
    if (!fits) throw std::invalid_argument("kinbits.hamming._native: the arrays of the multi-index do not fit");
}

// Moves a vector to Python.
template <class T>
Owned<T> owned(std::vector<T>&& values) {
    auto* kept = new std::vector<T>(std::move(values));
    const nb::capsule owner(kept, [](void* it) noexcept { delete static_cast<std::vector<T>*>(it); });
    return Owned<T>(kept->data(), {kept->size()}, owner);
}

std::vector<kinbits::mih::Table> substrings(std::size_t width, std::size_t bits, std::size_t count) {
    require(width >= 1 && bits >= 1 && bits <= 8 * width && count >= 1 && count <= bits);
    require((bits + count - 1) / count <= max_substring);
    return kinbits::mih::substrings(width, static_cast<unsigned>(bits), static_cast<unsigned>(count));
}

// Grouped codes and their tables. It keeps the arrays alive that they point to.
class BoundIndex {
public:
    BoundIndex(CodeArray wide, Words narrow, Integers starts, Integers members, std::size_t rows)
        : wide_(wide), narrow_(narrow), starts_(starts), members_(members) {
        const bool is_narrow = wide.shape(1) <= 8;
        index_.width = wide.shape(1);
        index_.rows = rows;
        index_.groups = is_narrow ? narrow.shape(0) : wide.shape(0);
        index_.member_count = members.shape(0);
        index_.keys = narrow.data();
        index_.codes = wide.data();
        index_.starts = starts.shape(0) ? starts.data() : nullptr;
        index_.members = members.data();
        require(index_.width >= 1 && rows < max_rows && index_.member_count <= rows && index_.groups <= rows);
        require(index_.starts ? starts.shape(0) == index_.groups + 1 : index_.member_count == index_.groups);
    }

    void add_tables(std::size_t bits, std::size_t count, Integers offsets, CodeArray entries) {
        auto tables = substrings(index_.width, bits, count);
        const std::size_t bytes = index_.groups * tables[0].stride + kinbits::mih::Entries::slack;
        require(entries.shape(0) == count - 1 && entries.shape(1) == bytes);
        std::size_t at = 0, number = 0;
        for (auto& table : tables) {
            require(at + (std::size_t{1} << table.bits) + 1 <= offsets.shape(0));
            table.offsets = offsets.data() + at;
            table.entries = number ? entries.data() + (number - 1) * bytes : nullptr;
            at += (std::size_t{1} << table.bits) + 1, ++number;
        }
        require(at == offsets.shape(0));
        offsets_ = offsets, entries_ = entries;
        index_.tables = std::move(tables);
    }

    void fill_tables(std::size_t bits, std::size_t count, Array<std::uint32_t, 1> offsets,
                     Array<std::uint8_t, 2> entries, std::size_t threads) {
        add_tables(bits, count, Integers(offsets), CodeArray(entries));
        nb::gil_scoped_release unlocked;
        kinbits::each_task(threads, count, [&](std::size_t number) {
            const kinbits::mih::Table& table = index_.tables[number];
            kinbits::mih::fill_table(index_, table, offsets.data() + (table.offsets - offsets.data()),
                                     number ? entries.data() + (number - 1) * entries.shape(1) : nullptr);
        });
    }

    void search(CodeArray queries, std::uint64_t k, std::size_t radius, Bytes allow, double budget, std::size_t threads,
                Array<std::int32_t, 2> near, Array<std::int64_t, 2> rows) const {
        require(near.shape(0) == queries.shape(0) && rows.shape(0) == queries.shape(0));
        require(near.shape(1) == k && rows.shape(1) == k);
        nb::gil_scoped_release unlocked;
        each_query(queries, {k, limited(radius), allowed_bits(allow)}, budget, threads,
                   [&](std::size_t query, Neighbours& found) {
                       if (found.rows.size() != k) throw kinbits::mih::Damaged();
                       std::copy(found.distances.begin(), found.distances.end(), near.data() + query * k);
                       std::copy(found.rows.begin(), found.rows.end(), rows.data() + query * k);
                   });
    }

    nb::tuple within(CodeArray queries, std::uint64_t limit, std::size_t radius, Bytes allow, double budget,
                     std::size_t threads) const {
        std::vector<Neighbours> results(queries.shape(0));
        std::vector<std::int64_t> counts;
        Neighbours all;
        {
            nb::gil_scoped_release unlocked;
            each_query(queries, {limit, limited(radius), allowed_bits(allow)}, budget, threads,
                       [&](std::size_t query, Neighbours& found) { results[query] = std::move(found); });
            for (auto& found : results) {
                counts.push_back(static_cast<std::int64_t>(found.rows.size()));
                all.distances.insert(all.distances.end(), found.distances.begin(), found.distances.end());
                all.rows.insert(all.rows.end(), found.rows.begin(), found.rows.end());
                found = {};
            }
        }
        return nb::make_tuple(owned(std::move(all.distances)), owned(std::move(all.rows)), owned(std::move(counts)));
    }

    void trace(CodeArray queries, Integers without, std::uint64_t k, double budget, std::size_t threads,
               Array<std::int64_t, 3> steps) const {
        require(ready() && queries.shape(1) == index_.width && without.shape(0) == queries.shape(0));
        require(steps.shape(0) == queries.shape(0) && steps.shape(2) == 3 && k > 0);
        nb::gil_scoped_release unlocked;
        const SearchLimits limits{k, limited(8 * index_.width), nullptr};
        kinbits::each_task(threads, queries.shape(0), [&](std::size_t query) {
            kinbits::mih::trace(index_, queries.data() + query * index_.width, without.data()[query], limits, budget,
                                steps.data() + query * steps.shape(1) * 3, steps.shape(1));
        });
    }

    Owned<std::uint32_t> pair_groups(std::size_t begin, std::size_t end, std::size_t radius,
                                     std::size_t threads) const {
        require(ready() && begin <= end && end <= index_.groups);
        std::vector<std::uint32_t> flat;
        {
            nb::gil_scoped_release unlocked;
            std::vector<GroupPair> pairs;
            kinbits::mih::pair_groups(index_, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end),
                                      limited(radius), threads, pairs);
            flat.resize(3 * pairs.size());
            if (!pairs.empty()) std::memcpy(flat.data(), pairs.data(), sizeof(GroupPair) * pairs.size());
        }
        return owned(std::move(flat));
    }

    std::size_t expand_pairs(Integers flat, Array<std::uint64_t, 1> cursor, Array<std::int64_t, 1> first,
                             Array<std::int64_t, 1> second, Array<std::int32_t, 1> distances) const {
        static_assert(sizeof(GroupPair) == 3 * sizeof(std::uint32_t));
        require(flat.shape(0) % 3 == 0 && cursor.shape(0) == 3);
        require(first.shape(0) == second.shape(0) && first.shape(0) == distances.shape(0));
        nb::gil_scoped_release unlocked;
        kinbits::mih::PairCursor at{cursor.data()[0], cursor.data()[1], cursor.data()[2]};
        const std::size_t written =
            kinbits::mih::expand_pairs(index_, reinterpret_cast<const GroupPair*>(flat.data()), flat.shape(0) / 3, at,
                                       first.shape(0), first.data(), second.data(), distances.data());
        cursor.data()[0] = at.pair, cursor.data()[1] = at.first, cursor.data()[2] = at.second;
        return written;
    }

private:
    static constexpr std::size_t max_rows = 0xFFFFFFFF;  // rows and groups have 32 bits; the last value is reserved

    bool ready() const { return !index_.tables.empty(); }
    unsigned limited(std::size_t radius) const {
        return static_cast<unsigned>(std::min<std::size_t>(radius, 8 * index_.width));
    }
    const std::uint8_t* allowed_bits(const Bytes& allow) const {
        require(allow.shape(0) == 0 || allow.shape(0) == (index_.rows + 7) / 8);
        return allow.shape(0) ? allow.data() : nullptr;
    }

    template <class Take>
    void each_query(const CodeArray& queries, const SearchLimits& limits, double budget, std::size_t threads,
                    Take take) const {
        require(ready() && queries.shape(1) == index_.width);
        kinbits::each_task(threads, queries.shape(0), [&](std::size_t query) {
            Neighbours found;
            kinbits::mih::search(index_, queries.data() + query * index_.width, limits, budget, found);
            take(query, found);
        });
    }

    kinbits::mih::MultiIndex index_{};
    CodeArray wide_;
    Words narrow_;
    Integers starts_, members_, offsets_;
    CodeArray entries_;
};

std::size_t group_rows(CodeArray codes, Array<std::uint64_t, 1> keys, Array<std::uint32_t, 1> members,
                       Array<std::uint64_t, 2> scratch, std::size_t threads) {
    const std::size_t rows = codes.shape(0);
    require(keys.shape(0) == rows && members.shape(0) == rows && rows < 0xFFFFFFFF && threads >= 1);
    require(scratch.shape(0) == rows + 1 && scratch.shape(1) == 2);
    nb::gil_scoped_release unlocked;
    return kinbits::mih::group_rows({codes.data(), rows, codes.shape(1)}, threads, keys.data(), members.data(),
                                    scratch.data());
}

}  // namespace

void bind_multi_index(nb::module_& m) {
    m.def("group_rows", &group_rows, nb::arg("codes"), nb::arg("keys").noconvert(), nb::arg("members").noconvert(),
          nb::arg("scratch").noconvert(), nb::arg("threads"));
    nb::class_<BoundIndex>(m, "MultiIndex")
        .def(nb::init<CodeArray, Words, Integers, Integers, std::size_t>(), nb::arg("wide").noconvert(),
             nb::arg("narrow").noconvert(), nb::arg("starts").noconvert(), nb::arg("members").noconvert(),
             nb::arg("rows"))
        .def("add_tables", &BoundIndex::add_tables, nb::arg("bits"), nb::arg("count"), nb::arg("offsets").noconvert(),
             nb::arg("entries").noconvert())
        .def("fill_tables", &BoundIndex::fill_tables, nb::arg("bits"), nb::arg("count"), nb::arg("offsets").noconvert(),
             nb::arg("entries").noconvert(), nb::arg("threads"))
        .def("search", &BoundIndex::search, nb::arg("queries"), nb::arg("k"), nb::arg("radius"), nb::arg("allow"),
             nb::arg("budget"), nb::arg("threads"), nb::arg("near").noconvert(), nb::arg("rows").noconvert())
        .def("within", &BoundIndex::within, nb::arg("queries"), nb::arg("limit"), nb::arg("radius"), nb::arg("allow"),
             nb::arg("budget"), nb::arg("threads"))
        .def("trace", &BoundIndex::trace, nb::arg("queries"), nb::arg("without"), nb::arg("k"), nb::arg("budget"),
             nb::arg("threads"), nb::arg("steps").noconvert())
        .def("pair_groups", &BoundIndex::pair_groups, nb::arg("begin"), nb::arg("end"), nb::arg("radius"),
             nb::arg("threads"))
        .def("expand_pairs", &BoundIndex::expand_pairs, nb::arg("flat").noconvert(), nb::arg("cursor").noconvert(),
             nb::arg("first").noconvert(), nb::arg("second").noconvert(), nb::arg("distances").noconvert());
}
