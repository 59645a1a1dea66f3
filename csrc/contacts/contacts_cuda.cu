#include "contacts/contacts_body.h"
#include "core/dtypes.h"

namespace emfast::contacts {

template <class T>
Table count(Executor& ex, View<const T> labels, const Options& options) {
    return count_anywhere(ex, labels, options);
}

#define EMFAST_INSTANTIATE(T) template Table count<T>(Executor&, View<const T>, const Options&);
EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)

}  // namespace emfast::contacts
