/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fault points: the table of what is armed, the parser of specifications and the decision.
 *
 * A hit is counted when the point's filters (ino, off) let it through; nth, every and p then decide whether it
 * fires.  Without any of them every counted hit does.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <userxfs/base/error.h>
#include <userxfs/base/fault.h>
#include <userxfs/base/hash.h>
#include <userxfs/base/lock.h>
#include <userxfs/base/message.h>

#include "block.h"

struct fault {
	bool is_armed;
	uint64_t hits, firings;
	/* The specification; 0: not given. */
	uint64_t nth, every, times;
	double probability;
	uint64_t random;	/* state of the point's own generator */
	uint64_t ino;
	bool has_range;
	uint64_t range_start, range_end;	/* [start, end) in bytes */
	int64_t value;
	int err;		/* negative */
};

/* Fault points are hit under any lock, so this one has no rank. */
static struct mutex lock = MUTEX_INIT(RANK_LEAF, "fault points");
static struct fault faults[FAULT_COUNT];

_Atomic uint32_t fault_armed_count;

static const char *const names[FAULT_COUNT] = {
#define X(name, what) [FAULT_##name] = #name,
	FAULT_POINTS(X)
#undef X
};

/* ---- deciding -------------------------------------------------------------------------------------------------- */

static bool concerns(const struct fault *f, const struct fault_site *site)
{
	uint64_t end;

	if (f->ino && (!site || site->ino != f->ino))
		return false;
	if (!f->has_range)
		return true;
	if (!site)
		return false;
	/* A site without a length is the byte at its offset. */
	end = site->off_bytes + (site->count_bytes ? site->count_bytes : 1);
	return site->off_bytes < f->range_end && f->range_start < end;
}

/* Uniform in [0, 1). */
static double draw(struct fault *f)
{
	f->random = hash_u64(f->random + 0x9e3779b97f4a7c15ull);
	return (double)(f->random >> 11) / (double)(1ull << 53);
}

static bool decide(struct fault *f)
{
	if (f->nth && f->hits != f->nth)
		return false;
	if (f->every && f->hits % f->every != 0)
		return false;
	return f->probability == 0 || draw(f) < f->probability;
}

static void disarm(struct fault *f)
{
	if (!f->is_armed)
		return;
	f->is_armed = false;
	atomic_fetch_sub_explicit(&fault_armed_count, 1, memory_order_relaxed);
}

bool fault_fires(enum fault_point point, const struct fault_site *site, int64_t *value, int *err)
{
	struct fault *f = &faults[point];
	bool fires = false;

	mutex_lock_unranked(&lock);
	if (f->is_armed && concerns(f, site)) {
		f->hits++;
		fires = decide(f);
	}
	if (fires) {
		f->firings++;
		if (value)
			*value = f->value;
		if (err)
			*err = f->err;
		if (f->times && f->firings == f->times)
			disarm(f);
	}
	mutex_unlock_unranked(&lock);
	return fires;
}

/* ---- specifications -------------------------------------------------------------------------------------------- */

static bool parse_u64(const char *text, uint64_t *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, 0);
	return !errno && !*end;
}

static bool parse_count(const char *text, uint64_t *out)
{
	return parse_u64(text, out) && *out > 0;
}

static bool parse_value(const char *text, int64_t *out)
{
	bool is_negative = *text == '-';
	uint64_t v;

	if (!parse_u64(text + is_negative, &v) || v > INT64_MAX)
		return false;
	*out = is_negative ? -(int64_t)v : (int64_t)v;
	return true;
}

static bool parse_probability(const char *text, double *out)
{
	char *end;

	*out = strtod(text, &end);
	return end != text && !*end && *out > 0 && *out <= 1;
}

static bool parse_range(char *text, struct fault *f)
{
	char *dash = strchr(text, '-');

	if (!dash)
		return false;
	*dash = '\0';
	f->has_range = true;
	return parse_u64(text, &f->range_start) && parse_u64(dash + 1, &f->range_end) &&
	       f->range_start < f->range_end;
}

/* A number, or a name as in errno.h or one of the two of our own. */
static bool parse_errno(const char *text, int *out)
{
	uint64_t number = 0;

	if (strcmp(text, "EFSCORRUPTED") == 0)
		number = EFSCORRUPTED;
	else if (strcmp(text, "EFSBADCRC") == 0)
		number = EFSBADCRC;
	else if (!parse_u64(text, &number)) {
		for (number = 1; number < 4096; number++) {
			const char *name = strerrorname_np((int)number);

			if (name && strcmp(name, text) == 0)
				break;
		}
	}
	if (number == 0 || number >= 4096)
		return false;
	*out = -(int)number;
	return true;
}

static bool parse_setting(const char *key, char *text, struct fault *f)
{
	if (strcmp(key, "nth") == 0)
		return parse_count(text, &f->nth);
	if (strcmp(key, "every") == 0)
		return parse_count(text, &f->every);
	if (strcmp(key, "times") == 0)
		return parse_count(text, &f->times);
	if (strcmp(key, "p") == 0)
		return parse_probability(text, &f->probability);
	if (strcmp(key, "seed") == 0)
		return parse_u64(text, &f->random);
	if (strcmp(key, "ino") == 0)
		return parse_count(text, &f->ino);
	if (strcmp(key, "off") == 0)
		return parse_range(text, f);
	if (strcmp(key, "errno") == 0)
		return parse_errno(text, &f->err);
	if (strcmp(key, "value") == 0)
		return parse_value(text, &f->value);
	return false;
}

static int parse_settings(char *rest, struct fault *f)
{
	for (char *word = strtok_r(NULL, ":", &rest); word; word = strtok_r(NULL, ":", &rest)) {
		char *equals = strchr(word, '=');

		if (equals)
			*equals = '\0';
		if (!equals || !parse_setting(word, equals + 1, f)) {
			msg_error("fault specification: \"%s%s%s\" is not a known setting with a valid value", word,
				  equals ? "=" : "", equals ? equals + 1 : "");
			return -EINVAL;
		}
	}
	return 0;
}

static int parse_point(const char *name, enum fault_point *out)
{
	for (unsigned i = 0; name && i < FAULT_COUNT; i++) {
		if (strcmp(names[i], name) == 0) {
			*out = i;
			return 0;
		}
	}
	msg_error("fault specification: there is no fault point \"%s\"", name ? name : "");
	return -EINVAL;
}

int fault_arm(const char *specification)
{
	struct fault parsed = { .is_armed = true, .random = 1, .err = -EIO };
	enum fault_point point = FAULT_COUNT;
	char *text, *rest;
	int err;

	text = strdup(specification);
	if (!text)
		return -ENOMEM;
	err = parse_point(strtok_r(text, ":", &rest), &point);
	if (!err)
		err = parse_settings(rest, &parsed);
	free(text);
	if (err)
		return err;

	mutex_lock_unranked(&lock);
	disarm(&faults[point]);
	faults[point] = parsed;
	atomic_fetch_add_explicit(&fault_armed_count, 1, memory_order_relaxed);
	mutex_unlock_unranked(&lock);
	return 0;
}

void fault_disarm(enum fault_point point)
{
	mutex_lock_unranked(&lock);
	disarm(&faults[point]);
	mutex_unlock_unranked(&lock);
}

void fault_disarm_all(void)
{
	for (unsigned i = 0; i < FAULT_COUNT; i++)
		fault_disarm(i);
}

uint64_t fault_count(enum fault_point point, bool fired)
{
	uint64_t count;

	mutex_lock_unranked(&lock);
	count = fired ? faults[point].firings : faults[point].hits;
	mutex_unlock_unranked(&lock);
	return count;
}
