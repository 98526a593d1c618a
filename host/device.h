/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef HOST_DEVICE_H
#define HOST_DEVICE_H

int elisa_device_init(void);
void elisa_device_uninit(void);

#endif
