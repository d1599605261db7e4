/* cmocka.h, with what it needs included before it. */
#ifndef RUNTREE_TESTS_UNIT_CMOCKA_TEST_H
#define RUNTREE_TESTS_UNIT_CMOCKA_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
