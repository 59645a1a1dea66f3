// The table of contents of _core, _emu and _cuda: one register_ function per operation, the same in all three.
#include "bindings/array.h"
#include "core/thread_limit.h"
#include "core/threads.h"

namespace emfast {

void register_affinities(py::module_&);
void register_agglomerate(py::module_&);
void register_components(py::module_&);
void register_contacts(py::module_&);
void register_contingency(py::module_&);
void register_descriptors(py::module_&);
void register_distance(py::module_&);
void register_embedding(py::module_&);
void register_example(py::module_&);
void register_malis(py::module_&);
void register_matching(py::module_&);
void register_morphology(py::module_&);
void register_multicut(py::module_&);
void register_mutex(py::module_&);
void register_phantom(py::module_&);
void register_labels(py::module_&);
void register_region_graph(py::module_&);
void register_resample(py::module_&);
void register_retouch(py::module_&);
void register_runs(py::module_&);
void register_seeds(py::module_&);
void register_sites(py::module_&);
void register_skeleton(py::module_&);
void register_statistics(py::module_&);
void register_surface(py::module_&);
void register_voxel_graph(py::module_&);
void register_warping(py::module_&);
void register_watershed(py::module_&);

namespace {

void register_runtime(py::module_& m) {
    m.attr("version") = EMFAST_VERSION;
    m.def("get_threads", &get_threads);
    m.def("set_threads", &set_threads);
    m.def("limit_threads", &limit_threads);
    m.def("available_processors", &available_processors);
    m.def("device_count", [] {
        std::string reason;
#if EMFAST_BACKEND == EMFAST_CUDA
        const int count = gpu::device_count(reason);
#else
        const int count = 0;
        reason = "this module runs on the host";
#endif
        return py::make_tuple(count, reason);
    });
    m.def("describe", [] {
#if EMFAST_BACKEND == EMFAST_CUDA
        return gpu::describe();
#else
        return std::string("host\n");
#endif
    });
}

}  // namespace
}  // namespace emfast

PYBIND11_MODULE(EMFAST_MODULE, m, pybind11::mod_gil_not_used()) {
    emfast::register_runtime(m);
    emfast::register_affinities(m);
    emfast::register_agglomerate(m);
    emfast::register_components(m);
    emfast::register_contacts(m);
    emfast::register_contingency(m);
    emfast::register_descriptors(m);
    emfast::register_distance(m);
    emfast::register_embedding(m);
    emfast::register_example(m);
    emfast::register_malis(m);
    emfast::register_matching(m);
    emfast::register_morphology(m);
    emfast::register_multicut(m);
    emfast::register_mutex(m);
    emfast::register_phantom(m);
    emfast::register_labels(m);
    emfast::register_region_graph(m);
    emfast::register_resample(m);
    emfast::register_retouch(m);
    emfast::register_runs(m);
    emfast::register_seeds(m);
    emfast::register_sites(m);
    emfast::register_skeleton(m);
    emfast::register_statistics(m);
    emfast::register_surface(m);
    emfast::register_voxel_graph(m);
    emfast::register_warping(m);
    emfast::register_watershed(m);
}
