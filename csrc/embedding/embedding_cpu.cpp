#include "embedding/embedding_body.h"
