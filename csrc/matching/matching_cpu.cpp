#include "matching/matching_body.h"
