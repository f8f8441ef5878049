/* SPDX-License-Identifier: GPL-2.0 */
/* Random scenarios: a few files and directories, all kinds of operations on them. */
#include <stdio.h>
#include <stdlib.h>

#include <userxfs/base/bits.h>
#include <userxfs/base/error.h>
#include <userxfs/base/hash.h>

#include "model.h"

struct generator {
	uint64_t seed, drawn;
	FILE *out;
};

static uint64_t draw(struct generator *g, uint64_t below)
{
	return hash_u64_pair(g->seed, g->drawn++) % below;
}

static void put_path(struct generator *g)
{
	static const char *const names[] = { "a", "b", "c", "d1/a", "d1/b", "d2/a", "d1/e/a" };

	/* Sometimes long, so that directories leave their inodes. */
	if (draw(g, 12) == 0)
		fprintf(g->out, " d2/%0*u", 120, (unsigned)draw(g, 4));
	else
		fprintf(g->out, " %s", names[draw(g, ARRAY_COUNT(names))]);
}

static void put_dir(struct generator *g)
{
	static const char *const dirs[] = { "d1", "d2", "d1/e", "d2/e" };

	fprintf(g->out, " %s", dirs[draw(g, ARRAY_COUNT(dirs))]);
}

static void put_range(struct generator *g)
{
	static const unsigned lengths[] = { 10, 512, 4096, 5000, 16384, 40000 };
	uint64_t off = draw(g, 24) * 4096 + (draw(g, 3) ? 0 : draw(g, 4096));

	fprintf(g->out, " %llu %u", (unsigned long long)off, lengths[draw(g, ARRAY_COUNT(lengths))]);
}

static void put_blocks(struct generator *g)
{
	uint64_t off = draw(g, 12), count = 1 + draw(g, 4);

	fprintf(g->out, " %llu %llu", (unsigned long long)(off * 4096), (unsigned long long)(count * 4096));
}

static void put_direct(struct generator *g)
{
	put_blocks(g);
}

static void put_xattr(struct generator *g)
{
	static const unsigned lengths[] = { 5, 60, 300, 2000, 9000 };

	fprintf(g->out, " user.x%u %u", (unsigned)draw(g, 4), lengths[draw(g, ARRAY_COUNT(lengths))]);
}

static void put_operation(struct generator *g)
{
	static const struct {
		const char *word;
		unsigned weight;
		void (*first)(struct generator *g), (*second)(struct generator *g);
	} ways[] = {
		{ "create", 14, put_path, NULL },     { "mkdir", 4, put_dir, NULL },
		{ "mknod", 1, put_path, NULL },	      { "tmpfile", 2, put_path, NULL },
		{ "link", 3, put_path, put_path },    { "unlink", 6, put_path, NULL },
		{ "rmdir", 2, put_dir, NULL },	      { "rename", 6, put_path, put_path },
		{ "rename", 1, put_dir, put_dir },    { "exchange", 2, put_path, put_path },
		{ "whiteout", 1, put_path, put_path }, { "write", 16, put_path, put_range },
		{ "direct", 4, put_path, put_direct }, { "osync", 2, put_path, put_range },
		{ "store", 6, put_path, put_range },  { "alloc", 2, put_path, put_blocks },
		{ "keep", 2, put_path, put_blocks },  { "punch", 4, put_path, put_range },
		{ "zero", 3, put_path, put_range },   { "collapse", 1, put_path, put_blocks },
		{ "insert", 1, put_path, put_blocks }, { "setxattr", 4, put_path, put_xattr },
		{ "setxattr", 1, put_dir, put_xattr }, { "fsync", 5, put_path, NULL },
		{ "fsync", 1, put_dir, NULL },	      { "fdatasync", 3, put_path, NULL },
		{ "flush", 4, put_path, NULL },	      { "start", 5, put_path, NULL },
		{ "force", 4, NULL, NULL },
		{ "pass", 5, NULL, NULL },	      { "sync", 1, NULL, NULL },
	};
	unsigned total = 0, chosen = 0;
	uint64_t at;

	for (unsigned i = 0; i < ARRAY_COUNT(ways); i++)
		total += ways[i].weight;
	for (at = draw(g, total); at >= ways[chosen].weight; chosen++)
		at -= ways[chosen].weight;
	fputs(ways[chosen].word, g->out);
	if (ways[chosen].first)
		ways[chosen].first(g);
	if (ways[chosen].second)
		ways[chosen].second(g);
	fputs("; ", g->out);
}

static void put_odd_one(struct generator *g)
{
	static const unsigned sizes[] = { 0, 100, 4096, 30000, 120000 };

	switch (draw(g, 5)) {
	case 0:
		fputs("truncate", g->out);
		put_path(g);
		fprintf(g->out, " %u; ", sizes[draw(g, ARRAY_COUNT(sizes))]);
		break;
	case 1:
		fputs("symlink", g->out);
		put_path(g);
		fprintf(g->out, " %u; ", draw(g, 2) ? 20u : 900u);
		break;
	case 2:
		fputs("chmod", g->out);
		put_path(g);
		fprintf(g->out, " %o; ", (unsigned)draw(g, 0777));
		break;
	case 3:
		fputs("rmxattr", g->out);
		put_path(g);
		fprintf(g->out, " user.x%u; ", (unsigned)draw(g, 4));
		break;
	default:
		fputs("copy", g->out);
		put_path(g);
		put_path(g);
		fprintf(g->out, " %u; ", 20000u);
		break;
	}
}

char *model_random_scenario(uint64_t seed, unsigned count)
{
	struct generator g = { .seed = seed };
	size_t length;
	char *text;

	g.out = open_memstream(&text, &length);
	ensure(g.out);
	fputs("mkdir d1; mkdir d2; mkdir d1/e; sync; ", g.out);
	for (unsigned i = 0; i < count; i++) {
		if (draw(&g, 8))
			put_operation(&g);
		else
			put_odd_one(&g);
	}
	fclose(g.out);
	return text;
}
