// The Python bindings of the kernels. kinbits.hamming checks the arguments of a user. The shapes are checked again
// here, because a wrong one would read or write outside an array.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "distances.hpp"
#include "kernels.hpp"
#include "mapped_file.hpp"
#include "ranking.hpp"
#include "search.hpp"
#include "table_search.hpp"

namespace nb = nanobind;

namespace {

using CodeArray = nb::ndarray<const std::uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using FlagArray = nb::ndarray<const bool, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using DistanceArray = nb::ndarray<std::uint16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using BitmapArray = nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using EndArray = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using LevelArray = nb::ndarray<const std::uint16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using TableArray = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using CountArray = nb::ndarray<std::int64_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

void require(bool fits) {
    if (!fits) throw std::invalid_argument("kinbits.hamming._native: the shapes of the arrays do not fit");
}

kinbits::Codes view(const CodeArray& array) {
    require(array.shape(1) <= 8191);  // distances are 16 bits wide
    return {array.data(), array.shape(0), array.shape(1)};
}

void distances(CodeArray queries, CodeArray codes, DistanceArray out) {
    const auto q = view(queries), c = view(codes);
    require(q.width == c.width && out.shape(0) == q.rows && out.shape(1) == c.rows);
    nb::gil_scoped_release unlocked;
    kinbits::distances(q, c, out.data());
}

void histograms(CodeArray queries, CodeArray codes, FlagArray relevant, CountArray counts) {
    const auto q = view(queries), c = view(codes);
    require(q.width == c.width && relevant.shape(0) == q.rows && relevant.shape(1) == c.rows);
    require(counts.shape(0) == q.rows && counts.shape(1) == 8 * c.width + 1 && counts.shape(2) == 2);
    nb::gil_scoped_release unlocked;
    kinbits::histograms(q, c, relevant.data(), counts.data());
}

void tally(CodeArray queries, CodeArray codes, EndArray ends, LevelArray levels, CountArray counts,
           std::size_t threads) {
    const auto q = view(queries), c = view(codes);
    const kinbits::GradeRuns runs{ends.data(), ends.shape(0), levels.data(), counts.shape(1)};
    require(q.width == c.width && levels.shape(0) == q.rows && levels.shape(1) == runs.count && threads > 0);
    require(counts.shape(0) == q.rows && counts.shape(2) == 8 * c.width + 1);
    require(std::is_sorted(runs.ends, runs.ends + runs.count));
    require(runs.count ? static_cast<std::size_t>(runs.ends[runs.count - 1]) == c.rows : c.rows == 0);
    require(std::all_of(runs.grades, runs.grades + levels.size(), [&](auto grade) { return grade < runs.levels; }));
    nb::gil_scoped_release unlocked;
    kinbits::tally(q, c, runs, counts.data(), threads);
}

// Moves a vector to NumPy without a copy.
template <class Value>
nb::object as_array(std::vector<Value>&& values) {
    auto* kept = new std::vector<Value>(std::move(values));
    const nb::capsule owner(kept, [](void* memory) noexcept { delete static_cast<std::vector<Value>*>(memory); });
    return nb::cast(nb::ndarray<nb::numpy, Value, nb::ndim<1>>(kept->data(), {kept->size()}, owner));
}

nb::tuple search(CodeArray queries, CodeArray codes, std::size_t limit, std::uint32_t radius,
                 std::optional<BitmapArray> allow, std::size_t threads) {
    const auto q = view(queries), c = view(codes);
    require(q.width == c.width && radius <= 8 * c.width && threads > 0);
    require(!allow || allow->shape(0) == (c.rows + 7) / 8);
    kinbits::BatchNeighbours found;
    {
        nb::gil_scoped_release unlocked;
        found = kinbits::search(q, c, {limit, radius, allow ? allow->data() : nullptr}, threads);
    }
    return nb::make_tuple(as_array(std::move(found.counts)), as_array(std::move(found.distances)),
                          as_array(std::move(found.rows)));
}

nb::tuple search_tables(TableArray tables, CodeArray codes, std::size_t limit, float radius,
                        std::optional<BitmapArray> allow, std::size_t threads) {
    const auto c = view(codes);
    const std::size_t parts = tables.shape(1), words = tables.shape(2);
    const bool scaled = words == 16 && parts % 2;
    const kinbits::Tables t{tables.data(), tables.shape(0), parts - scaled, words, scaled};
    require((words == 16 || words == 256) && t.parts > 0 && threads > 0);
    require(t.bytes() + (scaled ? kinbits::factor_bytes : 0) == c.width);
    require(!allow || allow->shape(0) == (c.rows + 7) / 8);
    kinbits::ScoredNeighbours found;
    {
        nb::gil_scoped_release unlocked;
        found = kinbits::search_tables(t, c, {limit, radius, allow ? allow->data() : nullptr}, threads);
    }
    return nb::make_tuple(as_array(std::move(found.counts)), as_array(std::move(found.distances)),
                          as_array(std::move(found.rows)));
}

// Returns a read-only NumPy array over an open file, which may be closed afterwards. The map ends with the array.
nb::object map_file(int descriptor, std::size_t bytes) {
    require(bytes > 0);
    auto* const kept = new kinbits::MappedFile(descriptor, bytes);
    const nb::capsule owner(kept, [](void* memory) noexcept { delete static_cast<kinbits::MappedFile*>(memory); });
    if (!kept->data()) {
        PyErr_SetFromErrno(PyExc_OSError);
        throw nb::python_error();
    }
    return nb::cast(nb::ndarray<nb::numpy, const std::uint8_t, nb::ndim<1>>(kept->data(), {bytes}, owner));
}

std::vector<std::string> simd_paths() {
    std::vector<std::string> names;
    for (const auto* path : kinbits::compiled_kernels())
        if (path->supported()) names.emplace_back(path->name);
    return names;
}

}  // namespace

void bind_multi_index(nb::module_& m);

NB_MODULE(_native, m) {
    m.doc() = "Hamming kernel: see kinbits.hamming for the checked interface.";
    m.def("distances", &distances, nb::arg("queries"), nb::arg("codes"), nb::arg("out").noconvert());
    m.def("histograms", &histograms, nb::arg("queries"), nb::arg("codes"), nb::arg("relevant"),
          nb::arg("counts").noconvert());
    m.def("tally", &tally, nb::arg("queries"), nb::arg("codes"), nb::arg("ends"), nb::arg("levels"),
          nb::arg("counts").noconvert(), nb::arg("threads"));
    m.def("search", &search, nb::arg("queries"), nb::arg("codes"), nb::arg("limit"), nb::arg("radius"),
          nb::arg("allow").none(), nb::arg("threads"));
    m.def("search_tables", &search_tables, nb::arg("tables"), nb::arg("codes"), nb::arg("limit"), nb::arg("radius"),
          nb::arg("allow").none(), nb::arg("threads"));
    bind_multi_index(m);
    m.def("map_file", &map_file, nb::arg("descriptor"), nb::arg("bytes"));
    m.def("lost_pages", &kinbits::lost_pages);
    m.def("simd", [] { return std::string(kinbits::kernels().name); });
    m.def("simd_paths", &simd_paths);
}
