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

// The shape of an array, which must be (samples, z, y, x) of the source.
void require_source(const Array& a, const char* name, const resample::Map& map) {
    if (a.shape != std::vector<int64_t>{map.samples, map.source.z, map.source.y, map.source.x})
        refuse(name, " must have one volume for each sample, of the shape of the source");
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
        if (map.source.voxels() >= int64_t(1) << 31) refuse("source must have less than 2^31 voxels");
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
        resample::Image image{nullptr, resample::Pixel::u8, 0, nullptr};
        Array in, out;
        if (!image_.is_none()) {
            in = call.in(image_, "image");
            if (in.dims() != 5 || in.shape[0] != map.samples || in.shape[2] != source[0] || in.shape[3] != source[1] ||
                in.shape[4] != source[2])
                refuse("image must be (samples, channels, z, y, x) of the shape of the source");
            out = call.out({map.samples, in.shape[1], shape[0], shape[1], shape[2]}, "float32");
            image = {in.data, pixel_of(in), in.shape[1], out.as<float>()};
        }
        const std::vector<int64_t> full{map.samples, shape[0], shape[1], shape[2]};
        std::vector<resample::Labels> labels;
        std::vector<resample::Mask> masks;
        std::vector<Array> kept;
        py::list labels_out, masks_out;
        for (const py::object& each : labels_) {
            const Array a = call.in(each, "labels"), b = call.out(full, a.dtype);
            require_source(a, "labels", map);
            visit_width(a.itemsize, [](auto) {});
            labels.push_back({a.data, b.data, a.itemsize});
            labels_out.append(b.object);
            kept.push_back(a);
        }
        for (const py::object& each : masks_) {
            const Array b = call.out(full, "bool");
            resample::Mask mask{nullptr, b.as<uint8_t>()};
            if (!each.is_none()) {
                const Array a = call.in(each, "masks");
                require_source(a, "masks", map);
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
