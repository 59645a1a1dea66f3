#include "warping/warping_body.h"
