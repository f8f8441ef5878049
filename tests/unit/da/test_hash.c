// SPDX-License-Identifier: GPL-2.0
/* The name hash: values that xfs_db prints, and the rotation at work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <userxfs/da.h>

static uint32_t hash_of(const char *name)
{
	return da_hash((const uint8_t *)name, (unsigned)strlen(name));
}

/* The numbers are those of xfs_db's command "hash". */
static void hashes_are_those_of_xfs_db(void **state)
{
	assert_int_equal(hash_of("a"), 0x61);
	assert_int_equal(hash_of("."), 0x2e);
	assert_int_equal(hash_of(".."), 0x172e);
	assert_int_equal(hash_of("lost+found"), 0x21aa60c);
	assert_int_equal(hash_of("SGI_ACL_FILE"), 0x275b19c4);
	assert_int_equal(hash_of("abcdefgh"), 0x4c7a38f6);
	assert_int_equal(hash_of("0123456789012345678901234567890123456789"), 0x5afcc9c5);
}

/* Bytes above 127 count as unsigned. */
static void high_bytes_are_unsigned(void **state)
{
	assert_int_equal(hash_of("\xff"), 0xff);
	assert_int_equal(hash_of("\xff\x01"), 0xff << 7 ^ 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_are_those_of_xfs_db),
		cmocka_unit_test(high_bytes_are_unsigned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
