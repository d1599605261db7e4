/* What a token's claim lets its holder do. */
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/access.h"

static struct access *read_claim(const char *claim)
{
    json_t *rights = json_loads(claim, JSON_DECODE_ANY, NULL);
    char why[ACCESS_WHY_SIZE] = "";
    struct access *access = access_new(rights, "ada", 1000, why);

    json_decref(rights);
    assert_true((access == NULL) == (why[0] != '\0'));
    return access;
}

static void test_patterns(void **state)
{
    struct access *access =
        read_claim("{\"read\": [\"ml/*\", \"*/demo\"], \"write\": [\"ml/production\"]}");

    (void)state;
    assert_non_null(access);
    assert_string_equal(access->subject, "ada");
    assert_true(access_allows(access, ACCESS_READ, "ml", "production"));
    assert_true(access_allows(access, ACCESS_READ, "web", "demo"));
    assert_false(access_allows(access, ACCESS_READ, "web", "production"));
    assert_false(access_allows(access, ACCESS_READ, "mlx", "production"));
    assert_true(access_allows(access, ACCESS_WRITE, "ml", "production"));
    assert_false(access_allows(access, ACCESS_WRITE, "ml", "demo"));
    assert_false(access_allows(access, ACCESS_ADMIN, "ml", "production"));
    assert_false(access_allows_all(access, ACCESS_READ));
    access_release(access);
}

/* A project may have slashes, a domain has none. */
static void test_the_domain_begins_behind_the_last_slash(void **state)
{
    struct access *access = read_claim("{\"read\": [\"owner/repo/ci\", \"owner/*\"]}");

    (void)state;
    assert_true(access_allows(access, ACCESS_READ, "owner/repo", "ci"));
    assert_true(access_allows(access, ACCESS_READ, "owner", "any"));
    assert_false(access_allows(access, ACCESS_READ, "owner/repo", "cd"));
    assert_false(access_allows(access, ACCESS_READ, "owner/other", "ci"));
    access_release(access);
}

static void test_admin_includes_the_others(void **state)
{
    struct access *admin = read_claim("{\"admin\": [\"ml/*\"]}");
    struct access *writer = read_claim("{\"write\": [\"*/*\"]}");

    (void)state;
    assert_true(access_allows(admin, ACCESS_READ, "ml", "d"));
    assert_true(access_allows(admin, ACCESS_WRITE, "ml", "d"));
    assert_true(access_allows(admin, ACCESS_ADMIN, "ml", "d"));
    assert_false(access_allows(admin, ACCESS_READ, "web", "d"));
    assert_true(access_allows_all(writer, ACCESS_WRITE));
    assert_false(access_allows_all(writer, ACCESS_READ));
    access_release(admin);
    access_release(writer);
}

static void test_without_tokens_everything_is_allowed(void **state)
{
    (void)state;
    assert_true(access_allows(NULL, ACCESS_ADMIN, "any", "thing"));
    assert_true(access_allows_all(NULL, ACCESS_ADMIN));
    access_release(access_hold(NULL));
}

static void test_claim_that_gives_nothing(void **state)
{
    static const char *const claims[] = {"null", "{}", "{\"read\": []}", "{\"other\": [\"*/*\"]}"};

    (void)state;
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        struct access *access = read_claim(claims[i]);

        assert_non_null(access);
        assert_false(access_allows(access, ACCESS_READ, "a", "b"));
        access_release(access);
    }
}

static void test_claim_that_is_wrong(void **state)
{
    static const char *const claims[] = {
        "[]",
        "\"*/*\"",
        "{\"read\": \"*/*\"}",
        "{\"read\": {}}",
        "{\"read\": [1]}",
        "{\"read\": [\"\"]}",
        "{\"read\": [\"*\"]}",
        "{\"read\": [\"a/\"]}",
        "{\"read\": [\"/a\"]}",
        "{\"read\": [\"a//c\"]}",
        "{\"read\": [\"a/*/c\"]}",
        "{\"read\": [\"a/../c\"]}",
        "{\"read\": [\"a*/b\"]}",
        "{\"read\": [\"**/b\"]}",
        "{\"read\": [\"a b/c\"]}",
        "{\"read\": [\"-a/c\"]}",
        "{\"read\": [\"*/*\"], \"admin\": [\"x\"]}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++)
        assert_null(read_claim(claims[i]));
}

static struct access *read_patterns(size_t count, size_t project_length)
{
    json_t *list = json_array(), *rights = json_pack("{s:o}", "read", list);
    char part[300] = "", why[ACCESS_WHY_SIZE];
    struct access *access;

    memset(part, 'p', project_length);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_sprintf("%s/d", part));
    access = access_new(rights, NULL, 0, why);
    json_decref(rights);
    return access;
}

static void test_limits(void **state)
{
    struct access *most = read_patterns(ACCESS_GRANTS_MAX, 1);
    struct access *longest = read_patterns(1, PROJECT_BYTES_MAX);
    char subject[SUBJECT_SIZE + 1] = "", why[ACCESS_WHY_SIZE];

    (void)state;
    assert_non_null(most);
    assert_int_equal(most->count, ACCESS_GRANTS_MAX);
    assert_non_null(longest);
    assert_null(read_patterns(ACCESS_GRANTS_MAX + 1, 1));
    assert_null(read_patterns(1, PROJECT_BYTES_MAX + 1));
    access_release(most);
    access_release(longest);
    memset(subject, 's', SUBJECT_SIZE - 1);
    longest = access_new(NULL, subject, 0, why);
    assert_non_null(longest);
    access_release(longest);
    subject[SUBJECT_SIZE - 1] = 's';
    assert_null(access_new(NULL, subject, 0, why));
}

static void test_same_reads(void **state)
{
    struct access *a = read_claim("{\"read\": [\"a/b\", \"c/*\"]}");
    struct access *b = read_claim("{\"write\": [\"x/y\"], \"read\": [\"a/b\", \"c/*\"]}");
    struct access *c = read_claim("{\"read\": [\"a/b\"]}");
    struct access *all = read_claim("{\"admin\": [\"*/*\"]}");

    (void)state;
    assert_true(access_reads_same(a, b));
    assert_false(access_reads_same(a, c));
    assert_false(access_reads_same(c, a));
    assert_false(access_reads_same(a, all));
    assert_true(access_reads_same(all, NULL));
    access_release(a);
    access_release(b);
    access_release(c);
    access_release(all);
}

static void test_as_json(void **state)
{
    struct access *access = read_claim("{\"read\": [\"a/*\"], \"admin\": [\"b/c\"]}");
    json_t *json = access_to_json(access), *all = access_to_json(NULL);
    json_t *expected = json_pack("{s:[s], s:[], s:[s]}", "read", "a/*", "write", "admin", "b/c");

    (void)state;
    assert_true(json_equal(json, expected));
    assert_string_equal(json_string_value(json_array_get(json_object_get(all, "admin"), 0)), "*/*");
    json_decref(json);
    json_decref(all);
    json_decref(expected);
    access_release(access);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_the_domain_begins_behind_the_last_slash),
        cmocka_unit_test(test_admin_includes_the_others),
        cmocka_unit_test(test_without_tokens_everything_is_allowed),
        cmocka_unit_test(test_claim_that_gives_nothing),
        cmocka_unit_test(test_claim_that_is_wrong),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_same_reads),
        cmocka_unit_test(test_as_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
