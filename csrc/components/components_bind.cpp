#include "bindings/array.h"
namespace emfast { void register_components(py::module_&) {} }
