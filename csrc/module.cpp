// The Python face of the kernel. Arguments are checked by kinbits/hamming/_codes.py; the shapes are checked again
// here, because a wrong one would read or write outside of its array.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>

#include "scan.hpp"

namespace nb = nanobind;

namespace {

using CodeArray = nb::ndarray<const std::uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using FlagArray = nb::ndarray<const bool, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using DistanceArray = nb::ndarray<std::uint16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using CountArray = nb::ndarray<std::int64_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

kinbits::Codes view(const CodeArray& array) { return {array.data(), array.shape(0), array.shape(1)}; }

void require(bool fits) {
    if (!fits) throw std::invalid_argument("kinbits.hamming._native: the shapes of the arrays do not fit");
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

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "Hamming kernel: see kinbits.hamming for the checked interface.";
    m.def("distances", &distances, nb::arg("queries"), nb::arg("codes"), nb::arg("out").noconvert());
    m.def("histograms", &histograms, nb::arg("queries"), nb::arg("codes"), nb::arg("relevant"),
          nb::arg("counts").noconvert());
}
