#include "multicut/engine.h"
