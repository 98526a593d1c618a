/* SPDX-License-Identifier: MIT */
#include "bochs.h"
