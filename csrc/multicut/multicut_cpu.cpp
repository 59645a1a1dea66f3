#include "multicut/multicut_body.h"
