// Errors that cross from C++ to Python. pybind11 turns std::invalid_argument into ValueError and std::bad_alloc into
// MemoryError; Interrupted is turned by the bindings into the pending Python signal (KeyboardInterrupt).
#pragma once

#include <stdexcept>
#include <string>

namespace emfast {

struct Interrupted : std::exception {
    const char* what() const noexcept override { return "interrupted"; }
};

template <class... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
    std::string text;
    auto add = [&text](const auto& part) {
        if constexpr (std::is_arithmetic_v<std::decay_t<decltype(part)>>) text += std::to_string(part);
        else text += part;
    };
    (add(parts), ...);
    throw std::invalid_argument(text);
}

}  // namespace emfast
