/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/index.h"
