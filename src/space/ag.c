// SPDX-License-Identifier: GPL-2.0
/* The headers of an AG: reading them, mirroring them in memory, logging what changed. */
#include <stddef.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/message.h>

#include "space_private.h"

enum { AGF_SECTOR = 1, AGI_SECTOR = 2 };	/* of an AG */

static uint32_t sector_units(const struct ag *ag)
{
	return ag->space->geo->sector_bytes >> SECTOR_UNIT_LOG;
}

static int complain(const struct ag *ag, const char *header)
{
	msg_error("AG %u: its %s belongs to another AG or has another length", ag->agno, header);
	return -EFSCORRUPTED;
}

static int read_header(struct tx *tx, struct ag *ag, unsigned sector, const struct block_type *type,
		       struct buffer **out)
{
	daddr_u64 daddr = ag_header_daddr(ag->space->geo, ag->agno, sector);

	if (tx)
		return tx_buffer_read(tx, daddr, sector_units(ag), type, out);
	return buffer_read(ag->space->cache, daddr, sector_units(ag), type, out);
}

void ag_readahead(struct ag *ag)
{
	const struct geometry *geo = ag->space->geo;

	buffer_readahead(ag->space->cache, ag_header_daddr(geo, ag->agno, AGF_SECTOR), sector_units(ag), &block_agf);
	buffer_readahead(ag->space->cache, ag_header_daddr(geo, ag->agno, AGI_SECTOR), sector_units(ag), &block_agi);
}

void ag_release_header(struct tx *tx, struct buffer *buf)
{
	if (tx)
		tx_buffer_release(tx, buf);
	else
		buffer_release(buf);
}

/*
 * Without waiting: *out = NULL when somebody else has it.  A header that was never read is not in anybody's hands and
 * is read in the ordinary way.
 */
static int try_header(struct tx *tx, struct ag *ag, unsigned sector, const struct block_type *type,
		      struct buffer **out)
{
	daddr_u64 daddr = ag_header_daddr(ag->space->geo, ag->agno, sector);
	struct buffer *buf;
	int err;

	if (tx_highest_ag(tx) == ag->agno || !ag->agf_loaded)
		return read_header(tx, ag, sector, type, out);
	err = buffer_find(ag->space->cache, daddr, sector_units(ag), true, &buf);
	if (err)
		return err;
	if (buf && !(atomic_load(&buf->flags) & BUFFER_VALID)) {
		buffer_release(buf);
		buf = NULL;
	}
	if (buf)
		tx_buffer_join(tx, buf);
	*out = buf;
	return 0;
}

/* ---- AGF
 * -------------------------------------------------------------------------------------------------------- */

static int mirror_agf(struct ag *ag, const struct xfs_agf *agf)
{
	const struct geometry *geo = ag->space->geo;
	uint32_t tree_blocks = be32_to_cpu(agf->agf_btreeblks);

	if (be32_to_cpu(agf->agf_seqno) != ag->agno || be32_to_cpu(agf->agf_length) != ag->blocks)
		return complain(ag, "AGF");
	if (ag->agf_loaded)
		return 0;
	ag->free_blocks = be32_to_cpu(agf->agf_freeblks);
	ag->longest = be32_to_cpu(agf->agf_longest);
	ag->agfl_count = be32_to_cpu(agf->agf_flcount);
	ag->btree_blocks = tree_blocks;
	ag->bno_level = (uint8_t)be32_to_cpu(agf->agf_levels[XFS_BTNUM_BNOi]);
	ag->cnt_level = (uint8_t)be32_to_cpu(agf->agf_levels[XFS_BTNUM_CNTi]);
	if (geo->has_rmapbt) {
		ag->rmap_level = (uint8_t)be32_to_cpu(agf->agf_levels[XFS_BTNUM_RMAPi]);
		ag->rmap_blocks = be32_to_cpu(agf->agf_rmap_blocks);
		/* Its root is counted there, but not among the trees' blocks. */
		tree_blocks -= min_u64(tree_blocks, ag->rmap_blocks ? ag->rmap_blocks - 1 : 0);
	}
	if (geo->has_reflink) {
		ag->refcount_level = (uint8_t)be32_to_cpu(agf->agf_refcount_level);
		ag->refcount_blocks = be32_to_cpu(agf->agf_refcount_blocks);
	}
	atomic_fetch_add(&ag->space->btree_blocks, (int64_t)tree_blocks);
	ag->agf_loaded = true;
	return 0;
}

int ag_read_agf(struct tx *tx, struct ag *ag, bool try, struct buffer **out)
{
	struct buffer *buf;
	int err;

	err = try && tx ? try_header(tx, ag, AGF_SECTOR, &block_agf, &buf) :
			  read_header(tx, ag, AGF_SECTOR, &block_agf, &buf);
	if (err)
		return err;
	if (buf) {
		err = mirror_agf(ag, buf->data);
		if (err) {
			ag_release_header(tx, buf);
			return err;
		}
	}
	*out = buf;
	return 0;
}

int ag_load_agf(struct ag *ag)
{
	struct buffer *buf;
	int err;

	err = ag_read_agf(NULL, ag, false, &buf);
	if (!err)
		buffer_release(buf);
	return err;
}

/* ---- AGI
 * -------------------------------------------------------------------------------------------------------- */

static int mirror_agi(struct ag *ag, const struct xfs_agi *agi)
{
	if (be32_to_cpu(agi->agi_seqno) != ag->agno || be32_to_cpu(agi->agi_length) != ag->blocks)
		return complain(ag, "AGI");
	if (be32_to_cpu(agi->agi_freecount) > be32_to_cpu(agi->agi_count)) {
		msg_error("AG %u: more inodes are free than there are", ag->agno);
		return -EFSCORRUPTED;
	}
	if (ag->agi_loaded)
		return 0;
	ag->inodes = be32_to_cpu(agi->agi_count);
	ag->free_inodes = be32_to_cpu(agi->agi_freecount);
	ag->agi_loaded = true;
	return 0;
}

int ag_read_agi(struct tx *tx, struct ag *ag, struct buffer **out)
{
	struct buffer *buf;
	int err;

	err = read_header(tx, ag, AGI_SECTOR, &block_agi, &buf);
	if (err)
		return err;
	err = mirror_agi(ag, buf->data);
	if (err) {
		ag_release_header(tx, buf);
		return err;
	}
	*out = buf;
	return 0;
}

int ag_load_agi(struct ag *ag)
{
	struct buffer *buf;
	int err;

	err = ag_read_agi(NULL, ag, &buf);
	if (!err)
		buffer_release(buf);
	return err;
}

/* ---- logging
 * ---------------------------------------------------------------------------------------------------- */

/* Logs from the first to the last field named; @offsets has one more entry, the end of the last. */
static void log_fields(struct tx *tx, struct buffer *buf, const uint16_t *offsets, uint32_t count, uint32_t fields)
{
	fields &= (1u << count) - 1;
	ensure(fields);
	tx_buffer_log(tx, buf, offsets[__builtin_ctz(fields)], offsets[log2_floor(fields) + 1]);
}

void agf_log(struct tx *tx, struct buffer *agf, uint32_t fields)
{
	/* In the order of the XFS_AGF_* bits. */
	static const uint16_t offsets[] = {
		offsetof(struct xfs_agf, agf_magicnum),	     offsetof(struct xfs_agf, agf_versionnum),
		offsetof(struct xfs_agf, agf_seqno),	     offsetof(struct xfs_agf, agf_length),
		offsetof(struct xfs_agf, agf_roots[0]),	     offsetof(struct xfs_agf, agf_levels[0]),
		offsetof(struct xfs_agf, agf_flfirst),	     offsetof(struct xfs_agf, agf_fllast),
		offsetof(struct xfs_agf, agf_flcount),	     offsetof(struct xfs_agf, agf_freeblks),
		offsetof(struct xfs_agf, agf_longest),	     offsetof(struct xfs_agf, agf_btreeblks),
		offsetof(struct xfs_agf, agf_uuid),	     offsetof(struct xfs_agf, agf_rmap_blocks),
		offsetof(struct xfs_agf, agf_refcount_blocks), offsetof(struct xfs_agf, agf_refcount_root),
		offsetof(struct xfs_agf, agf_refcount_level), offsetof(struct xfs_agf, agf_spare64),
		sizeof(struct xfs_agf),
	};

	log_fields(tx, agf, offsets, XFS_AGF_NUM_BITS, fields);
}

void agi_log(struct tx *tx, struct buffer *agi, uint32_t fields)
{
	/* In the order of the XFS_AGI_* bits of the first region; the fields behind the unlinked buckets are
	 * another. */
	static const uint16_t offsets[] = {
		offsetof(struct xfs_agi, agi_magicnum),	 offsetof(struct xfs_agi, agi_versionnum),
		offsetof(struct xfs_agi, agi_seqno),	 offsetof(struct xfs_agi, agi_length),
		offsetof(struct xfs_agi, agi_count),	 offsetof(struct xfs_agi, agi_root),
		offsetof(struct xfs_agi, agi_level),	 offsetof(struct xfs_agi, agi_freecount),
		offsetof(struct xfs_agi, agi_newino),	 offsetof(struct xfs_agi, agi_dirino),
		offsetof(struct xfs_agi, agi_unlinked),	 offsetof(struct xfs_agi, agi_uuid),
	};
	static const uint16_t tail_offsets[] = {
		offsetof(struct xfs_agi, agi_free_root), offsetof(struct xfs_agi, agi_free_level),
		offsetof(struct xfs_agi, agi_iblocks),	 sizeof(struct xfs_agi),
	};

	if (fields & XFS_AGI_ALL_BITS_R1)
		log_fields(tx, agi, offsets, XFS_AGI_NUM_BITS_R1, fields & XFS_AGI_ALL_BITS_R1);
	if (fields >> XFS_AGI_NUM_BITS_R1)
		log_fields(tx, agi, tail_offsets, XFS_AGI_NUM_BITS_R2 - XFS_AGI_NUM_BITS_R1,
			   fields >> XFS_AGI_NUM_BITS_R1);
}
