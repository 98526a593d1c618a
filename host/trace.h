/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints: /sys/kernel/tracing/events/elisa. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM elisa

#if !defined(HOST_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define HOST_TRACE_H

#include <elisa/elisa.h>
#include <linux/tracepoint.h>

TRACE_EVENT(elisa_abort, TP_PROTO(const struct elisa_ioc_list *abort), TP_ARGS(abort),
	    TP_STRUCT__entry(__field(u32, attachment) __field(u32, vm) __field(u32, error) __field(u32, exit_reason)
				     __field(u64, address) __field(u32, offset) __string(object, abort->name)
					     __string(symbol, abort->symbol)),
	    TP_fast_assign(__entry->attachment = abort->id; __entry->vm = abort->vm; __entry->error = abort->state;
			   __entry->exit_reason = abort->exit_reason; __entry->address = abort->address;
			   __entry->offset = abort->offset; ELISA_ASSIGN_STR(object, abort->name);
			   ELISA_ASSIGN_STR(symbol, abort->symbol);),
	    TP_printk("object=%s attachment=%u vm=%u error=%u exit=%u address=%#llx %s+%#x", __get_str(object),
		      __entry->attachment, __entry->vm, __entry->error, __entry->exit_reason, __entry->address,
		      __get_str(symbol), __entry->offset));

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
