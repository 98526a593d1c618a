/* SPDX-License-Identifier: MIT */
/*
 * Waking a receiver that sleeps (wake.h), in all orders: stores that a CPU keeps back, senders that share a queue, one of
 * which may die at any step. A packet whose sender has come to an end is not left lying while the receiver sleeps.
 *
 * With one of these it is, which shows that each is needed:
 *
 *	RECEIVER_HASTY  the receiver has no barrier between setting `waits` and its last look
 *	SENDER_HASTY    the sender has none between publishing and looking at `waits`
 *	CLEAR_LATE      the sender clears `waits` after it has notified
 *	NO_WAKE_LOCK    what a sender that dies between the two leaves behind is not to be seen
 *
 * A packet of a sender that dies before it has notified waits for the next sender; that is excused here.
 */

#define SENDERS 2
#define BURSTS 2 /* of each, of one packet */
#define DEAD 255

byte filled, own; /* the client's copy of the queue's count, and the truth */
byte queue, wake; /* locks: 0, a sender's number + 1, or DEAD */
bool waits;
byte events;  /* what the host keeps for the receiver */
byte covered; /* published by who came to an end */
byte ended;
bool asleep, may_die = true;

/* What the receiver has stored in `waits`, while its CPU keeps it back. */
bool kept, kept_value;
byte taken;

inline flush()
{
	if
	:: kept -> waits = kept_value; kept = false
	:: else
	fi
}

inline set_waits(value)
{
	atomic { flush(); kept = true; kept_value = value }
}

active proctype store_buffer()
{
end:	do
	:: atomic { kept -> waits = kept_value; kept = false }
	od
}

active proctype receiver()
{
	do
	:: set_waits(true);
#ifndef RECEIVER_HASTY
		atomic { flush() };
#endif
		if
		:: filled == taken ->
			asleep = true;
			/* Reading the descriptor is a barrier. */
end_asleep:		atomic { events > 0 -> events = 0; asleep = false; flush() }
		:: else ->
			set_waits(false);
			taken = filled
		fi
	od
}

#define MAY_DIE \
	if \
	:: atomic { may_die -> may_die = false; goto dead } \
	:: true \
	fi

proctype sender(byte me)
{
	byte burst, mine;
	bool see_waits, see_wake, was_dead, busy;

	do
	:: burst < BURSTS ->
		burst++;
		/* run_begin() */
		atomic { queue == 0 || queue == DEAD -> was_dead = (queue == DEAD); queue = me + 1 };
		if
		:: was_dead -> filled = own
		:: else
		fi;
		MAY_DIE;
		/* run_end() */
		own++;
		mine = own;
		MAY_DIE;
#ifdef SENDER_HASTY
		see_waits = waits;
		see_wake = (wake != 0);
		atomic { filled = own; queue = 0 };
#else
		/* The unlock is a barrier: what was stored is seen when it is. */
		filled = own;
		MAY_DIE;
		queue = 0;
		MAY_DIE;
		see_waits = waits;
		MAY_DIE;
		see_wake = (wake != 0);
#endif
		MAY_DIE;
		/* wake_ports() */
		if
		:: see_waits || see_wake ->
#ifdef NO_WAKE_LOCK
			was_dead = false;
#else
			if
			:: atomic { wake == 0 || wake == DEAD -> was_dead = (wake == DEAD); busy = false; wake = me + 1 }
			:: atomic { wake != 0 && wake != DEAD -> busy = true }
			fi;
#endif
			MAY_DIE;
			if
			:: busy -> events++
			:: !busy && (waits || was_dead) ->
#ifdef CLEAR_LATE
				events++;
				MAY_DIE;
				waits = false
#else
				waits = false;
				MAY_DIE;
				events++
#endif
			:: else
			fi;
			MAY_DIE;
			if
			:: wake == me + 1 -> wake = 0
			:: else
			fi
		:: else
		fi;
		atomic {
			if
			:: covered < mine -> covered = mine
			:: else
			fi
		}
	:: else -> break
	od;
	ended++;
	goto out;
dead:	/* The host takes what it held, as soon as somebody waits for it. */
	atomic {
		if
		:: queue == me + 1 -> queue = DEAD
		:: else
		fi;
		if
		:: wake == me + 1 -> wake = DEAD
		:: else
		fi;
		ended++
	}
out:	skip
}

init {
	atomic { run sender(0); run sender(1) }
	/* Nobody is left to wake it. */
	atomic { ended == SENDERS && asleep && events == 0 && !kept -> assert(taken >= covered) }
}
