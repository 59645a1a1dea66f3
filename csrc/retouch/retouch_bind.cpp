#include <algorithm>

#include "bindings/array.h"
#include "retouch/retouch.h"

namespace emfast {
namespace {

retouch::Images images_of(const Array& image) {
    if (image.dtype != "f4" || image.dims() != 5) refuse("image must be float32 of shape (samples, channels, z, y, x)");
    return {image.as<float>(), image.shape[0], image.shape[1], image.volume()};
}

void require(const Array& a, const char* name, const char* dtype, const std::vector<int64_t>& shape) {
    if (a.dtype != dtype || a.shape != shape) refuse(name, " must have another shape or dtype here, got ", a.dtype);
}

// Small tables of what is indexed with are looked at on the host, wherever they lie.
void require_sections(Executor& ex, const Array& sections, const retouch::Images& images) {
    for (const int64_t section : ex.fetch(sections.as<int64_t>(), sections.size()))
        if (section < 0 || section >= images.sections())
            refuse("sections must be from 0 to ", images.sections() - 1, ", got ", section);
}

void require_starts(Executor& ex, const Array& starts, int64_t end) {
    int64_t before = 0;
    for (const int64_t start : ex.fetch(starts.as<int64_t>(), starts.size())) {
        if (start < before || start > end) refuse("starts must ascend from 0 to ", end, ", got ", start);
        before = start;
    }
}

}  // namespace

void register_retouch(py::module_& m) {
    // image is changed in place; tones (sections, 8), keys (sections,)
    m.def("retouch_tone", [](const py::object& library, const py::object& image_, const py::object& tones_,
                             const py::object& keys_) {
        Call call(library);
        const Array image = call.in(image_, "image"), tones = call.in(tones_, "tones"), keys = call.in(keys_, "keys");
        const retouch::Images images = images_of(image);
        require(tones, "tones", "f4", {images.sections(), 8});
        require(keys, "keys", "u8", {images.sections()});
        call.run([&](Executor& ex) {
            retouch::tone(ex, images, reinterpret_cast<const retouch::Tones*>(tones.as<float>()), keys.as<uint64_t>());
        });
    });
    m.def("retouch_means", [](const py::object& library, const py::object& image_) {
        Call call(library);
        const Array image = call.in(image_, "image");
        const retouch::Images images = images_of(image);
        const Array out = call.out({images.samples, images.channels, images.shape.z}, "float64");
        call.run([&](Executor& ex) { retouch::means(ex, images, out.as<double>()); });
        return out.object;
    });
    m.def("retouch_smooth", [](const py::object& library, const py::object& image_, const py::object& sections_,
                               const py::object& starts_, const py::object& steps_, const py::object& weights_) {
        Call call(library);
        const Array image = call.in(image_, "image"), sections = call.in(sections_, "sections"),
                    starts = call.in(starts_, "starts"), steps = call.in(steps_, "steps"),
                    weights = call.in(weights_, "weights");
        const retouch::Images images = images_of(image);
        require(sections, "sections", "i8", {sections.size()});
        require(starts, "starts", "i8", {sections.size() + 1});
        require(steps, "steps", "i4", {weights.size(), 3});
        require(weights, "weights", "f4", {weights.size()});
        const retouch::Taps taps{sections.size(), sections.as<int64_t>(), starts.as<int64_t>(), steps.as<int32_t>(),
                                 weights.as<float>()};
        call.run([&](Executor& ex) {
            require_sections(ex, sections, images);
            require_starts(ex, starts, weights.size());
            retouch::smooth(ex, images, taps);
        });
    });
    m.def("retouch_fill", [](const py::object& library, const py::object& image_,
                             const std::vector<std::vector<int64_t>>& boxes_, const std::vector<float>& values) {
        Call call(library);
        const Array image = call.in(image_, "image");
        const retouch::Images images = images_of(image);
        if (values.size() != boxes_.size()) refuse("values must be as many as boxes");
        const int64_t sides[] = {images.shape.z, images.shape.y, images.shape.x};
        std::vector<int64_t> boxes;
        for (const auto& box : boxes_) {
            bool fits = box.size() == 7 && box[0] >= 0 && box[0] < images.samples;
            for (int a = 0; fits && a < 3; ++a)
                fits = 0 <= box[1 + 2 * a] && box[1 + 2 * a] <= box[2 + 2 * a] && box[2 + 2 * a] <= sides[a];
            if (!fits) refuse("boxes must lie within the image");
            boxes.insert(boxes.end(), box.begin(), box.end());
        }
        call.run([&](Executor& ex) {
            retouch::fill(ex, images, boxes.data(), values.data(), static_cast<int64_t>(values.size()));
        });
    });
    m.def("retouch_overlay", [](const py::object& library, const py::object& image_, const py::object& sections_,
                                const py::object& values_, const py::object& covers_) {
        Call call(library);
        const Array image = call.in(image_, "image"), sections = call.in(sections_, "sections"),
                    values = call.in(values_, "values"), covers = call.in(covers_, "covers");
        const retouch::Images images = images_of(image);
        require(sections, "sections", "i8", {sections.size()});
        require(values, "values", "f4", {sections.size(), images.shape.y, images.shape.x});
        require(covers, "covers", "f4", values.shape);
        const retouch::Layers layers{sections.size(), sections.as<int64_t>(), values.as<float>(), covers.as<float>()};
        call.run([&](Executor& ex) {
            require_sections(ex, sections, images);
            retouch::overlay(ex, images, layers);
        });
    });
    m.def("retouch_equalise", [](const py::object& library, const py::object& image_, const py::object& sections_,
                                 const py::object& amounts_, float low, float high) {
        Call call(library);
        const Array image = call.in(image_, "image"), sections = call.in(sections_, "sections"),
                    amounts = call.in(amounts_, "amounts");
        const retouch::Images images = images_of(image);
        require(sections, "sections", "i8", {sections.size()});
        require(amounts, "amounts", "f4", {sections.size()});
        if (!(high > low)) refuse("high must be above low");
        const retouch::Flat flat{sections.size(), sections.as<int64_t>(), amounts.as<float>(), low, high};
        call.run([&](Executor& ex) {
            require_sections(ex, sections, images);
            retouch::equalise(ex, images, flat);
        });
    });
}

}  // namespace emfast
