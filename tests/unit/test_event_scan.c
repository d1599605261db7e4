/* The plain form of an event: whatever it takes, the decoder of documents takes as the same. */
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "model/event_scan.h"

static const int64_t received_us = 77;

/* Only what must be there. */
#define KEY "'project':'p','domain':'d','runName':'r','name':'a','phase':4"

static char *with_quotes(const char *text)
{
    char *copy = strdup(text);

    for (char *at = copy; *at != '\0'; at++)
        *at = *at == '\'' ? '"' : *at;
    return copy;
}

static void assert_same_text(const char *a, const char *b)
{
    assert_true((a == NULL) == (b == NULL));
    if (a != NULL)
        assert_string_equal(a, b);
}

static void assert_same(const struct action_event *scanned, const struct action_event *decoded)
{
    assert_same_text(scanned->run.project, decoded->run.project);
    assert_same_text(scanned->run.domain, decoded->run.domain);
    assert_same_text(scanned->run.run_name, decoded->run.run_name);
    assert_same_text(scanned->name, decoded->name);
    assert_same_text(scanned->parent, decoded->parent);
    assert_same_text(scanned->group, decoded->group);
    assert_same_text(scanned->task_name, decoded->task_name);
    assert_same_text(scanned->short_name, decoded->short_name);
    assert_int_equal(scanned->attempt, decoded->attempt);
    assert_int_equal(scanned->phase, decoded->phase);
    assert_int_equal(scanned->version, decoded->version);
    assert_int_equal(scanned->names_parent, decoded->names_parent);
    assert_int_equal(scanned->has_task, decoded->has_task);
    assert_int_equal(scanned->error_kind, decoded->error_kind);
    assert_int_equal(scanned->updated_us, decoded->updated_us);
    assert_int_equal(scanned->reported_us, decoded->reported_us);
}

/* Whether the scan takes `text`; then the decoder must have taken it, too, and as the same. */
static bool scan(const char *text)
{
    struct action_event scanned, decoded;
    struct problem problem;
    json_t *document = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    size_t length = strlen(text);
    /* Exactly as long, so that the sanitizer sees a byte too far. */
    char *copy = malloc(length ? length : 1);
    bool is_plain;

    memcpy(copy, text, length);
    is_plain = event_scan(copy, length, received_us, &scanned);
    if (is_plain) {
        assert_non_null(document);
        assert_int_equal(action_event_decode(&decoded, document, (struct json_text){0}, NULL,
                                             received_us, &problem),
                         0);
        assert_same(&scanned, &decoded);
        action_event_clear(&decoded);
    }
    json_decref(document);
    free(copy);
    return is_plain;
}

static bool scan_quoted(const char *text)
{
    char *quoted = with_quotes(text);
    bool is_plain = scan(quoted);

    free(quoted);
    return is_plain;
}

static void test_plain_events(void **state)
{
    static const char *const plain[] = {
        "{" KEY "}",
        " { 'name' : 'a' , 'phase' : 'RUNNING' ,\t'runName':\n'r','domain':'d','project':'p' }",
        "{" KEY ",'attempt':1,'version':0}",
        "{" KEY ",'attempt':2147483647,'version':2147483647}",
        "{" KEY ",'parent':null}",
        "{" KEY ",'parent':'a0','group':''}",
        "{" KEY ",'task':{}}",
        "{" KEY ",'task':{'name':'pkg.train'}}",
        "{" KEY ",'task':{'shortName':'train','name':'pkg.train'}}",
        "{" KEY
        ",'updatedTime':'2026-04-12T08:00:00.123Z','reportedTime':'2026-04-12T10:00:00+02:00'}",
        "{" KEY ",'cluster':'c1','outputs':{ },'logInfo':[],'clusterEvents':[ ]}",
        "{'project':'p','domain':'d','runName':'r','name':'a','phase':'ACTION_PHASE_FAILED'}",
        "{'project':'p','domain':'d','runName':'r','name':'a','phase':'5'}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (!scan_quoted(plain[i]))
            fail_msg("not plain: %s", plain[i]);
}

static void test_events_for_the_decoder(void **state)
{
    static const char *const other[] = {
        "",
        "{",
        "{}",
        "[]",
        "null",
        "{" KEY "",
        "{" KEY ",}",
        "{" KEY "}}",
        "{" KEY "} {}",
        "{" KEY ",'x':1}",
        "{" KEY ",'name':'b'}",
        "{'project':'p','domain':'d','runName':'r','name':'a'}",
        "{'project':'','domain':'d','runName':'r','name':'a','phase':4}",
        "{'project':'p','domain':'d','runName':'r','name':'-a','phase':4}",
        "{'project':'p','domain':'d','runName':'r','name':'a','phase':0}",
        "{'project':'p','domain':'d','runName':'r','name':'a','phase':11}",
        "{'project':'p','domain':'d','runName':'r','name':'a','phase':'running'}",
        "{" KEY ",'attempt':0}",
        "{" KEY ",'attempt':01}",
        "{" KEY ",'attempt':1.0}",
        "{" KEY ",'attempt':1e0}",
        "{" KEY ",'attempt':-1}",
        "{" KEY ",'attempt':'1'}",
        "{" KEY ",'attempt':null}",
        "{" KEY ",'attempt':2147483648}",
        "{" KEY ",'version':99999999999999999999}",
        "{" KEY ",'parent':'a'}",
        "{" KEY ",'parent':nul}",
        "{" KEY ",'parent':nulla}",
        "{" KEY ",'parent':7}",
        "{" KEY ",'group':null}",
        "{" KEY ",'group':'\xc3\xa4'}",
        "{" KEY ",'group':'\\n'}",
        "{" KEY ",'group':'\t'}",
        "{" KEY ",'group':'\x7f'}",
        "{" KEY ",'group':'open}",
        "{" KEY ",'task':null}",
        "{" KEY ",'task':{,}}",
        "{" KEY ",'task':{'name':'t','name':'t'}}",
        "{" KEY ",'task':{'x':'t'}}",
        "{" KEY ",'task':{'name':null}}",
        "{" KEY ",'updatedTime':'today'}",
        "{" KEY ",'errorInfo':{}}",
        "{" KEY ",'outputs':{'a':1}}",
        "{" KEY ",'outputs':[]}",
        "{" KEY ",'logInfo':[1]}",
        "{" KEY ",'clusterEvents':{}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (scan_quoted(other[i]))
            fail_msg("plain: %s", other[i]);
}

/* Every text that is one byte away from a plain one: cut off, left out, or another. */
static void test_a_byte_changed(void **state)
{
    static const char bytes[] = "\"{}[],:0 \\n\x80\x01";
    char *plain =
        with_quotes("{" KEY ",'attempt':12,'parent':null,'task':{'name':'t'},'logInfo':[]}");
    size_t length = strlen(plain);

    (void)state;
    assert_true(scan(plain));
    for (size_t i = 0; i < length; i++) {
        char *changed = strdup(plain);

        for (size_t k = 0; k < sizeof bytes - 1; k++) {
            changed[i] = bytes[k];
            scan(changed);
        }
        memmove(changed + i, plain + i + 1, length - i);
        scan(changed);
        changed[i] = '\0';
        assert_false(scan(changed));
        free(changed);
    }
    free(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_events),
        cmocka_unit_test(test_events_for_the_decoder),
        cmocka_unit_test(test_a_byte_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
