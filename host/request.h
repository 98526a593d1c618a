/* SPDX-License-Identifier: GPL-2.0-only */
/* Requests of guest drivers. */
#ifndef HOST_REQUEST_H
#define HOST_REQUEST_H

#include <elisa/hypercall.h>

#include "vm.h"

/* VMCALL with ELISA_HYPERCALL in a vCPU's thread: what RAX becomes. */
s64 elisa_request(struct kvm_vcpu *vcpu);

#endif
