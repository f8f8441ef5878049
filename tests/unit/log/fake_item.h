/* SPDX-License-Identifier: GPL-2.0 */
#pragma once
/* A log item that writes down what happens to it. */
#include "fixture.h"

struct fake_item {
	struct log_item item;
	uint32_t bytes;			/* to log; 0: nothing */
	unsigned pins, unpins, aborts, releases, commits, pushes, precommits;
	bool is_locked;			/* released: no */
	bool is_done_item;		/* does not enter the tail list */
	lsn_t lsn;
	uint64_t key;
	char *trace;			/* may be NULL: one letter for each call */
	char letter;
};

static inline struct fake_item *fake_of(struct log_item *item)
{
	return container_of(item, struct fake_item, item);
}

static inline void fake_note(struct fake_item *f)
{
	if (f->trace)
		strncat(f->trace, &f->letter, 1);
}

static inline void fake_size(struct log_item *item, uint32_t *regions, uint32_t *bytes)
{
	if (!fake_of(item)->bytes)
		return;
	*regions += 1;
	*bytes += fake_of(item)->bytes;
}

static inline void fake_format(struct log_item *item, struct log_region_writer *w)
{
	if (fake_of(item)->bytes)
		memset(log_region_reserve(w, XLOG_REG_TYPE_ICREATE, fake_of(item)->bytes), fake_of(item)->letter,
		       fake_of(item)->bytes);
}

static inline int fake_precommit(struct tx *tx, struct log_item *item)
{
	fake_of(item)->precommits++;
	fake_note(fake_of(item));
	return 0;
}

static inline uint64_t fake_key(const struct log_item *item)
{
	return container_of(item, const struct fake_item, item)->key;
}

static inline void fake_pin(struct log_item *item)
{
	fake_of(item)->pins++;
}

static inline void fake_unpin(struct log_item *item, bool aborted)
{
	fake_of(item)->unpins++;
	fake_of(item)->aborts += aborted;
}

static inline void fake_release(struct log_item *item, bool dirty, bool aborted)
{
	fake_of(item)->releases++;
	fake_of(item)->is_locked = false;
}

static inline lsn_t fake_committed(struct log_item *item, lsn_t lsn)
{
	struct fake_item *f = fake_of(item);

	assert_int_equal(f->pins, f->unpins + 1);
	f->commits++;
	f->lsn = lsn;
	return f->is_done_item ? 0 : lsn;
}

/* Home at once. */
static inline enum log_push_result fake_push(struct log_item *item, struct list *writes)
{
	struct fake_item *f = fake_of(item);

	f->pushes++;
	if (f->pins > f->unpins)
		return LOG_PUSH_PINNED;
	if (f->is_locked)
		return LOG_PUSH_LOCKED;
	log_item_done(item);
	return LOG_PUSH_QUEUED;
}

static const struct log_item_ops fake_ops __attribute__((unused)) = {
	.name = "fake",
	.type = XFS_LI_ICREATE,
	.size = fake_size,
	.format = fake_format,
	.pin = fake_pin,
	.unpin = fake_unpin,
	.release = fake_release,
	.committed = fake_committed,
	.push = fake_push,
};

/* As an inode. */
static const struct log_item_ops staying_ops __attribute__((unused)) = {
	.name = "staying",
	.type = XFS_LI_INODE,
	.stays_at_roll = true,
	.size = fake_size,
	.format = fake_format,
	.pin = fake_pin,
	.unpin = fake_unpin,
	.release = fake_release,
	.committed = fake_committed,
	.push = fake_push,
};

static const struct log_item_ops precommit_ops __attribute__((unused)) = {
	.name = "precommit",
	.type = XFS_LI_IUNLINK,
	.size = fake_size,
	.format = fake_format,
	.precommit = fake_precommit,
	.sort_key = fake_key,
	.release = fake_release,
};

static inline void fake_init(struct fixture *fixture, struct fake_item *f, const struct log_item_ops *ops,
			     uint32_t bytes, char letter)
{
	*f = (struct fake_item){ .bytes = bytes, .letter = letter };
	log_item_init(fixture->log, &f->item, ops);
}

static inline void fake_join_dirty(struct tx *tx, struct fake_item *f)
{
	f->is_locked = true;
	tx_join(tx, &f->item);
	tx_mark_dirty(tx, &f->item);
}
