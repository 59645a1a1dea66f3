#include "bindings/array.h"
#include "core/dtypes.h"
#include "resample/resample.h"

namespace emfast {
namespace {

resample::Pixel pixel_of(const Array& image) {
    if (image.dtype == "u1") return resample::Pixel::u8;
    if (image.dtype == "u2") return resample::Pixel::u16;
    if (image.dtype == "f4") return resample::Pixel::f32;
    refuse("image must be uint8, uint16 or float32, got ", image.dtype);
}

// Of an array (samples, z, y, x), with channels (samples, channels, z, y, x), which must have the shape of the source.
resample::Strides strides_of(const Array& a, const char* name, const resample::Map& map, bool channels) {
    std::vector<int64_t> shape{map.samples, map.source.z, map.source.y, map.source.x};
    if (channels && a.dims() != 5) refuse(name, " must be of shape (samples, channels, z, y, x)");
    if (channels) shape.insert(shape.begin() + 1, a.shape[1]);
    if (a.shape != shape) refuse(name, " must have one volume for each sample, of the shape of the source");
    const size_t z = a.strides.size() - 3;
    const int64_t last = (map.source.z - 1) * a.strides[z] + (map.source.y - 1) * a.strides[z + 1] + map.source.x;
    if (map.source.x > 1 && a.strides[z + 2] != 1) refuse(name, " must be dense along x");
    if (last > int64_t(1) << 31) refuse(name, " must lie within 2^31 elements");
    return {a.strides[0], channels ? a.strides[1] : 0, a.strides[z], a.strides[z + 1]};
}

}  // namespace

void register_resample(py::module_& m) {
    m.def("resample", [](const py::object& library, const py::object& image_, const std::vector<py::object>& labels_,
                         const std::vector<py::object>& masks_, const py::object& sections_, const py::object& grid_,
                         int64_t step, const std::vector<int64_t>& shape, const std::vector<int64_t>& source) {
        Call call(library);
        const Array sections = call.in(sections_, "sections");
        if (shape.size() != 3 || source.size() != 3) refuse("shape and source must have three sides");
        resample::Map map;
        map.out = {shape[0], shape[1], shape[2]};
        map.source = {source[0], source[1], source[2]};
        map.samples = sections.dims() == 3 ? sections.shape[0] : 0;
        if (sections.dtype != "f4" || sections.shape != std::vector<int64_t>{map.samples, map.out.z, 9})
            refuse("sections must be float32 of shape (samples, z, 9)");
        if (map.source.voxels() == 0) refuse("source must have voxels");
        map.sections = sections.as<float>();
        Array grid;
        if (!grid_.is_none()) {
            grid = call.in(grid_, "grid");
            if (grid.dtype != "f4" || grid.dims() != 5 || grid.shape[0] != map.samples || grid.shape[1] != map.out.z)
                refuse("grid must be float32 of shape (samples, z, axes, rows, columns)");
            map.axes = static_cast<int>(grid.shape[2]);
            map.rows = grid.shape[3];
            map.columns = grid.shape[4];
            map.step = step;
            if (map.axes != 2 && map.axes != 3) refuse("grid must have 2 or 3 axes, got ", map.axes);
            if (step < 1 || (map.rows - 1) * step < map.out.y || (map.columns - 1) * step < map.out.x)
                refuse("grid must reach beyond the last voxel, got ", map.rows, " by ", map.columns, " nodes");
            map.grid = grid.as<float>();
        }
        resample::Image image{nullptr, resample::Pixel::u8, 0, {}, nullptr};
        Array in, out;
        if (!image_.is_none()) {
            in = call.in_box(image_, "image");
            const resample::Strides strides = strides_of(in, "image", map, true);
            out = call.out({map.samples, in.shape[1], shape[0], shape[1], shape[2]}, "float32");
            image = {in.data, pixel_of(in), in.shape[1], strides, out.as<float>()};
        }
        const std::vector<int64_t> full{map.samples, shape[0], shape[1], shape[2]};
        std::vector<resample::Labels> labels;
        std::vector<resample::Mask> masks;
        std::vector<Array> kept;
        py::list labels_out, masks_out;
        for (const py::object& each : labels_) {
            const Array a = call.in_box(each, "labels"), b = call.out(full, a.dtype);
            visit_width(a.itemsize, [](auto) {});
            labels.push_back({a.data, strides_of(a, "labels", map, false), b.data, a.itemsize});
            labels_out.append(b.object);
            kept.push_back(a);
        }
        for (const py::object& each : masks_) {
            const Array b = call.out(full, "bool");
            resample::Mask mask{nullptr, {}, b.as<uint8_t>()};
            if (!each.is_none()) {
                const Array a = call.in_box(each, "masks");
                mask.strides = strides_of(a, "masks", map, false);
                if (a.itemsize != 1) refuse("masks must have one byte for each voxel, got ", a.dtype);
                mask.in = a.as<uint8_t>();
                kept.push_back(a);
            }
            masks.push_back(mask);
            masks_out.append(b.object);
        }
        call.run([&](Executor& ex) { resample::run(ex, map, image, labels, masks); });
        return py::make_tuple(out.object ? out.object : py::object(py::none()), labels_out, masks_out);
    });
}

}  // namespace emfast
