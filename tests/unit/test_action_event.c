/* Events decoded member by member, and the name of the member that is wrong. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_test.h"
#include "event_maker.h"

static json_t *parse(const char *text)
{
    char *quoted = strdup(text);
    json_error_t error;
    for (char *at = quoted; *at; at++)
        if (*at == '\'')
            *at = '"';
    json_t *json = json_loads(quoted, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!json)
        fail_msg("%s: %s", quoted, error.text);
    free(quoted);
    return json;
}

/* Where the events of all tests have their strings. */
static struct arena texts;

static int free_texts(void **state)
{
    (void)state;
    arena_free(&texts);
    return 0;
}

/* Decodes what `document` says. */
static int decode_document(const json_t *document, const struct action_event_path *path,
                           struct action_event *event, struct problem *problem)
{
    char *dumped = json_dumps(document, JSON_ENCODE_ANY);
    struct json_text info = {.bytes = arena_copy(&texts, dumped), .length = strlen(dumped)};
    free(dumped);
    *problem = (struct problem){0};
    return action_event_decode(event, info, path, 123, &texts, problem);
}

/* Decodes the event with `members` beside a good key (or a replaced part of it). */
static int decode(const char *members, const struct action_event_path *path,
                  struct action_event *event, struct problem *problem)
{
    json_t *document = parse("{'project':'p','domain':'d','runName':'r','name':'a','phase':1}");
    char *text = NULL;
    assert_true(asprintf(&text, "{%s}", members) > 0);
    json_t *given = parse(text);
    json_object_update(document, given);
    int status = decode_document(document, path, event, problem);
    json_decref(given);
    json_decref(document);
    free(text);
    return status;
}

static void test_everything(void **state)
{
    (void)state;
    struct made_event made = make_event(
        "'name':'a17','attempt':2,'phase':'RUNNING','version':3,'parent':'a0','group':'map',"
        "'task':{'name':'pkg.train','shortName':'train','more':1},"
        "'updatedTime':'1970-01-01T00:00:01Z','reportedTime':'1970-01-01T01:00:02+01:00',"
        "'errorInfo':{'kind':'USER','message':'no'},'cluster':'c','outputs':{},'logInfo':[],"
        "'clusterEvents':[],'other':{'kept':true}");
    const struct action_event *event = &made.event;
    assert_string_equal(event->run.project, "p");
    assert_string_equal(event->run.domain, "d");
    assert_string_equal(event->run.run_name, "r");
    assert_string_equal(event->name, "a17");
    assert_int_equal(event->attempt, 2);
    assert_int_equal(event->phase, PHASE_RUNNING);
    assert_int_equal(event->version, 3);
    assert_true(event->names_parent);
    assert_string_equal(event->parent, "a0");
    assert_string_equal(event->group, "map");
    assert_true(event->has_task);
    assert_string_equal(event->task_name, "pkg.train");
    assert_string_equal(event->short_name, "train");
    assert_int_equal(event->updated_us, 1000000);
    assert_int_equal(event->reported_us, 2000000);
    assert_int_equal(event->error_kind, ERROR_KIND_USER);
    assert_string_equal(json_string_value(json_object_get(event->error_info, "message")), "no");
    made_event_clear(&made);
    assert_null(made.event.error_info);
}

static void test_defaults(void **state)
{
    (void)state;
    static const char *const members[] = {
        "'x':1",
        "'attempt':null,'version':null,'group':null,'task':null,'updatedTime':null,"
        "'reportedTime':null,'errorInfo':null,'cluster':null,'outputs':null,'logInfo':null,"
        "'clusterEvents':null",
        "'group':'','task':{'name':'','shortName':''},'title':'','run':{'title':''}",
        "'task':{}",
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        struct action_event event;
        struct problem problem;
        assert_int_equal(decode(members[i], NULL, &event, &problem), 0);
        assert_int_equal(event.attempt, 1);
        assert_int_equal(event.version, 0);
        assert_false(event.names_parent);
        assert_null(event.parent);
        assert_null(event.group);
        assert_false(event.has_task);
        assert_false(event.has_additions || event.has_run_additions);
        assert_int_equal(event.updated_us, 123);
        assert_int_equal(event.reported_us, TIME_NONE);
        assert_int_equal(event.error_kind, ERROR_KIND_NONE);
        assert_null(event.error_info);
        action_event_clear(&event);
    }
    struct action_event event;
    struct problem problem;
    assert_int_equal(decode("'parent':null", NULL, &event, &problem), 0);
    assert_true(event.names_parent);
    assert_null(event.parent);
    action_event_clear(&event);
}

static void test_limits_hold(void **state)
{
    (void)state;
    static const char *const good[] = {
        "'attempt':2147483647",
        "'version':2147483647",
        "'version':0",
        "'phase':10",
        "'phase':'10'",
        "'phase':'ACTION_PHASE_PAUSED'",
        "'group':''",
        "'task':{}",
        "'task':{'name':null,'shortName':''}",
        "'errorInfo':{}",
        "'errorInfo':{'kind':'SYSTEM'}",
        "'errorInfo':{'kind':null,'message':null}",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct action_event event;
        struct problem problem;
        if (decode(good[i], NULL, &event, &problem) != 0)
            fail_msg("%s: %s", good[i], problem.detail);
        action_event_clear(&event);
    }
}

static const struct {
    const char *members, *pointer;
} wrong_members[] = {
    {"'project':null", "/project"},
    {"'project':1", "/project"},
    {"'project':''", "/project"},
    {"'project':'a b'", "/project"},
    {"'project':'a/'", "/project"},
    {"'project':'_a'", "/project"},
    {"'project':'\u00e4'", "/project"},
    {"'domain':[]", "/domain"},
    {"'domain':'-'", "/domain"},
    {"'runName':{}", "/runName"},
    {"'runName':'a\\n'", "/runName"},
    {"'name':true", "/name"},
    {"'name':'..'", "/name"},
    {"'attempt':0", "/attempt"},
    {"'attempt':-1", "/attempt"},
    {"'attempt':2147483648", "/attempt"},
    {"'attempt':9223372036854775807", "/attempt"},
    {"'attempt':1.0", "/attempt"},
    {"'attempt':'1'", "/attempt"},
    {"'attempt':true", "/attempt"},
    {"'version':-1", "/version"},
    {"'version':2147483648", "/version"},
    {"'version':0.5", "/version"},
    {"'version':'0'", "/version"},
    {"'phase':null", "/phase"},
    {"'phase':0", "/phase"},
    {"'phase':11", "/phase"},
    {"'phase':4.0", "/phase"},
    {"'phase':''", "/phase"},
    {"'phase':'running'", "/phase"},
    {"'phase':['RUNNING']", "/phase"},
    {"'parent':''", "/parent"},
    {"'parent':1", "/parent"},
    {"'parent':'.'", "/parent"},
    {"'parent':'a'", "/parent"},
    {"'group':1", "/group"},
    {"'task':'t'", "/task"},
    {"'task':{'name':1}", "/task/name"},
    {"'task':{'shortName':{}}", "/task/shortName"},
    {"'updatedTime':1", "/updatedTime"},
    {"'updatedTime':'yesterday'", "/updatedTime"},
    {"'updatedTime':'2026-02-30T00:00:00Z'", "/updatedTime"},
    {"'reportedTime':''", "/reportedTime"},
    {"'errorInfo':'x'", "/errorInfo"},
    {"'errorInfo':{'kind':'user'}", "/errorInfo/kind"},
    {"'errorInfo':{'kind':1}", "/errorInfo/kind"},
    {"'errorInfo':{'message':1}", "/errorInfo/message"},
    {"'cluster':1", "/cluster"},
    {"'outputs':[]", "/outputs"},
    {"'logInfo':{}", "/logInfo"},
    {"'clusterEvents':{}", "/clusterEvents"},
    {"'title':1", "/title"},
    {"'links':{}", "/links"},
    {"'links':[7]", "/links/0/name"},
    {"'links':[{'name':'a','url':'b'},{'name':'','url':'c'}]", "/links/1/name"},
    {"'links':[{'name':'a'}]", "/links/0/url"},
    {"'links':[{'name':'a','url':1}]", "/links/0/url"},
    {"'dependsOn':'b'", "/dependsOn"},
    {"'dependsOn':['b',null]", "/dependsOn/1"},
    {"'aliases':{}", "/aliases"},
    {"'aliases':['']", "/aliases/0"},
    {"'aliases':['b','..']", "/aliases/1"},
    {"'run':'x'", "/run"},
    {"'run':{'title':[]}", "/run/title"},
    {"'run':{'labels':[]}", "/run/labels"},
    {"'run':{'labels':{'a':1}}", "/run/labels"},
    {"'run':{'labels':{'':'b'}}", "/run/labels"},
    {"'run':{'links':{}}", "/run/links"},
    {"'run':{'links':[{'name':'a'}]}", "/run/links/0/url"},
    {"'run':{'params':[]}", "/run/params"},
    {"'updated_time':1", "/updatedTime"},
    {"'run_name':'s'", "/runName"},
    {"'updatedTime':null,'updated_time':null", "/updatedTime"},
    {"'updated_time':null,'updatedTime':null", "/updatedTime"},
    {"'log_info':[],'logInfo':[]", "/logInfo"},
    {"'task':{'short_name':'a','shortName':'b'}", "/task/shortName"},
    {"'task':{'short_name':1}", "/task/shortName"},
    {"'errorInfo':{'kind':'KIND_OTHER'}", "/errorInfo/kind"},
};

enum { PLACE_SIZE = 64 };

/* As people write it: links[0].url for /links/0/url. */
static void place_of(const char *pointer, char place[static PLACE_SIZE])
{
    char *at = place;
    while (*pointer) {
        const char *segment = pointer + 1;
        int length = (int)strcspn(segment, "/");
        bool is_index = *segment >= '0' && *segment <= '9';
        const char *form = is_index ? "[%.*s]" : at == place ? "%.*s" : ".%.*s";
        at += snprintf(at, (size_t)(place + PLACE_SIZE - at), form, length, segment);
        pointer = segment + length;
    }
}

static void test_each_member_is_named_when_it_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong_members / sizeof *wrong_members; i++) {
        struct action_event event;
        struct problem problem;
        if (decode(wrong_members[i].members, NULL, &event, &problem) == 0)
            fail_msg("%s was decoded", wrong_members[i].members);
        assert_int_equal(problem.kind, PROBLEM_INVALID_FIELD);
        assert_string_equal(problem.pointer, wrong_members[i].pointer);
        char place[PLACE_SIZE];
        place_of(wrong_members[i].pointer, place);
        if (!strstr(problem.detail, place))
            fail_msg("%s does not name %s", problem.detail, place);
    }
}

static void test_required_members(void **state)
{
    (void)state;
    static const char *const required[] = {"project", "domain", "runName", "name", "phase"};
    for (size_t i = 0; i < 5; i++) {
        struct action_event event;
        struct problem problem = {0};
        json_t *document = parse("{'project':'p','domain':'d','runName':'r','name':'a','phase':1}");
        json_object_del(document, required[i]);
        assert_int_equal(decode_document(document, NULL, &event, &problem), -EINVAL);
        assert_string_equal(problem.pointer + 1, required[i]);
        json_decref(document);
    }
}

static void assert_key_length(const char *member, size_t length, int expected)
{
    char members[600], value[NAME_BYTES_MAX + 2];
    struct action_event event;
    struct problem problem;
    memset(value, 'x', length);
    value[length] = '\0';
    snprintf(members, sizeof members, "'%s':'%s'", member, value);
    assert_int_equal(decode(members, NULL, &event, &problem), expected);
    if (expected == 0)
        action_event_clear(&event);
}

static void test_key_at_its_limit_and_one_past_it(void **state)
{
    (void)state;
    assert_key_length("project", 160, 0);
    assert_key_length("project", 161, -EINVAL);
    assert_key_length("domain", 63, 0);
    assert_key_length("domain", 64, -EINVAL);
    assert_key_length("runName", 512, 0);
    assert_key_length("runName", 513, -EINVAL);
    assert_key_length("name", 512, 0);
    assert_key_length("name", 513, -EINVAL);
    assert_key_length("parent", 512, 0);
    assert_key_length("parent", 513, -EINVAL);
}

static void test_no_object_is_no_event(void **state)
{
    (void)state;
    static const char *const wrong[] = {"[]", "1", "'x'", "null", "true", "1.5"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct action_event event;
        struct problem problem = {0};
        json_t *document = parse(wrong[i]);
        assert_int_equal(decode_document(document, NULL, &event, &problem), -EINVAL);
        assert_int_equal(problem.kind, PROBLEM_INVALID_FIELD);
        json_decref(document);
    }
}

static const struct action_event_path path = {"p", "d", "r", "a17", "2", "RUNNING", "3"};

static void test_key_in_the_path(void **state)
{
    (void)state;
    struct action_event event;
    struct problem problem = {0};
    json_t *document = parse("{'attempt':2,'phase':'ACTION_PHASE_RUNNING','parent':'a0'}");
    assert_int_equal(decode_document(document, &path, &event, &problem), 0);
    assert_string_equal(event.name, "a17");
    assert_int_equal(event.attempt, 2);
    assert_int_equal(event.phase, PHASE_RUNNING);
    assert_int_equal(event.version, 3);
    action_event_clear(&event);
    json_decref(document);
}

static void test_body_that_disagrees_with_the_path(void **state)
{
    (void)state;
    static const struct {
        const char *body, *pointer;
    } cases[] = {
        {"{'project':'q'}", "/project"},  {"{'domain':'q'}", "/domain"},
        {"{'runName':'q'}", "/runName"},  {"{'name':'q'}", "/name"},
        {"{'name':7}", "/name"},          {"{'attempt':1}", "/attempt"},
        {"{'phase':'FAILED'}", "/phase"}, {"{'phase':'?'}", "/phase"},
        {"{'version':0}", "/version"},    {"{'parent':'a17'}", "/parent"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct action_event event;
        struct problem problem = {0};
        json_t *document = parse(cases[i].body);
        assert_int_equal(decode_document(document, &path, &event, &problem), -EINVAL);
        assert_int_equal(problem.kind, PROBLEM_INVALID_FIELD);
        assert_string_equal(problem.pointer, cases[i].pointer);
        json_decref(document);
    }
}

static void test_wrong_part_of_the_path(void **state)
{
    (void)state;
    static const struct {
        struct action_event_path path;
        const char *named;
    } cases[] = {
        {{"_", "d", "r", "a", "1", "4", "0"}, "project"},
        {{"p", "", "r", "a", "1", "4", "0"}, "domain"},
        {{"p", "d", "..", "a", "1", "4", "0"}, "runName"},
        {{"p", "d", "r", "a\xff", "1", "4", "0"}, "name"},
        {{"p", "d", "r", "a", "0", "4", "0"}, "attempt"},
        {{"p", "d", "r", "a", "", "4", "0"}, "attempt"},
        {{"p", "d", "r", "a", "1x", "4", "0"}, "attempt"},
        {{"p", "d", "r", "a", "-1", "4", "0"}, "attempt"},
        {{"p", "d", "r", "a", "2147483648", "4", "0"}, "attempt"},
        {{"p", "d", "r", "a", "99999999999999999999", "4", "0"}, "attempt"},
        {{"p", "d", "r", "a", "1", "0", "0"}, "phase"},
        {{"p", "d", "r", "a", "1", "walking", "0"}, "phase"},
        {{"p", "d", "r", "a", "1", "4", "+1"}, "version"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct action_event event;
        struct problem problem = {0};
        json_t *document = json_object();
        assert_int_equal(decode_document(document, &cases[i].path, &event, &problem), -EINVAL);
        assert_string_equal(problem.pointer, "");
        assert_memory_equal(problem.detail, cases[i].named, strlen(cases[i].named));
        json_decref(document);
    }
}

/* What a string member says that is none of an event that was taken, or another, is a fault. */
static void assert_says(const char *text, const json_t *object, const char *member)
{
    const char *said = json_string_value(json_object_get(object, member));
    assert_true((text == NULL) == (said == NULL));
    if (text)
        assert_string_equal(text, said);
}

/* That jansson and the reader agree whether `text` is JSON, and on what it says. */
static int assert_agreement(const char *text)
{
    json_t *document = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    const json_t *task = json_object_get(document, "task");
    size_t length = strlen(text);
    struct action_event event;
    struct problem problem;
    /* Exactly as long, so that the sanitizer sees a byte too far. */
    char *copy = malloc(length ? length : 1);
    memcpy(copy, text, length);
    int status = action_event_decode(&event, (struct json_text){.bytes = copy, .length = length},
                                     NULL, 77, &texts, &problem);
    if ((status == -EBADMSG) != !document)
        fail_msg("%d: %s", status, text);
    if (status == 0) {
        assert_says(event.run.project, document, "project");
        assert_says(event.run.domain, document, "domain");
        assert_says(event.run.run_name, document,
                    json_object_get(document, "run_name") ? "run_name" : "runName");
        assert_says(event.name, document, "name");
        assert_says(event.parent, document, "parent");
        assert_says(event.group, document, "group");
        assert_says(event.task_name, task, "name");
        assert_says(event.short_name, task, "shortName");
        action_event_clear(&event);
    }
    json_decref(document);
    free(copy);
    return status;
}

#define KEY "\"project\":\"p\",\"domain\":\"d\",\"runName\":\"r\",\"name\":\"a\",\"phase\":4"

static void test_texts_that_are_or_are_not_json(void **state)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"{\"name\" : \"a\" , \"phase\" : 4 "
         ",\t\"runName\":\n\"r\",\"domain\":\"d\",\"project\":\"p\" }",
         0},
        {"{\"\\u006eame\":\"a\",\"phase\":\"\\u0034\",\"runName\":\"r\",\"domain\":\"d\","
         "\"project\":\"p\"}",
         0},
        {"{" KEY ",\"task\":{\"shortName\":\"\\u00e4\",\"x\":{\"name\":7},\"name\":\"t\"},"
         "\"group\":\"\xc3\xa4\"}",
         0},
        {"{" KEY ",\"x\":true,\"y\":-1.5e3,\"z\":[],\"\":\"\"}", 0},
        {"", -EBADMSG},
        {"{", -EBADMSG},
        {"{}", -EINVAL},
        {"{,}", -EBADMSG},
        {"nul", -EBADMSG},
        {"{" KEY, -EBADMSG},
        {"{" KEY ",}", -EBADMSG},
        {"{" KEY "]", -EBADMSG},
        {"{" KEY "}}", -EBADMSG},
        {"{" KEY "} {}", -EBADMSG},
        {"{" KEY ",\"x\"}", -EBADMSG},
        {"{" KEY ",\"x\":}", -EBADMSG},
        {"{" KEY ",x:1}", -EBADMSG},
        {"{" KEY " \"x\":1}", -EBADMSG},
        {"{" KEY "[\"x\":1}", -EBADMSG},
        {"{" KEY ",\"name\":\"a\"}", -EBADMSG},
        {"{" KEY ",\"\\u006eame\":\"a\"}", -EBADMSG},
        {"{" KEY ",\"x\":1,\"\\u0078\":1}", -EBADMSG},
        {"{" KEY ",\"task\":{\"name\":\"t\",\"name\":\"t\"}}", -EBADMSG},
        {"{" KEY ",\"task\":{\"x\":1,\"x\":1}}", -EBADMSG},
        {"{" KEY ",\"task\":{,}}", -EBADMSG},
        {"{" KEY ",\"errorInfo\":{\"x\":1,\"x\":1}}", -EBADMSG},
        {"{" KEY ",\"attempt\":01}", -EBADMSG},
        {"{" KEY ",\"attempt\":2147483648}", -EINVAL},
        {"{" KEY ",\"attempt\":99999999999999999999}", -EBADMSG},
        {"{" KEY ",\"parent\":nulla}", -EBADMSG},
        {"{" KEY ",\"group\":\"\t\"}", -EBADMSG},
        {"{" KEY ",\"group\":\"open}", -EBADMSG},
        {"{" KEY ",\"group\":\"open\\\"}", -EBADMSG},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (assert_agreement(cases[i].text) != cases[i].status)
            fail_msg("%s", cases[i].text);
}

/* Every text that is one byte away from an event: cut off, left out, or another. */
static void test_a_byte_changed(void **state)
{
    static const char bytes[] = "\"{}[],:0 \\n\x80\x01";
    static const char event[] = "{" KEY ",\"attempt\":12,\"parent\":null,\"x\":[{\"y\":1}],"
                                "\"task\":{\"name\":\"t\\n\"},\"logInfo\":[]}";
    (void)state;
    assert_int_equal(assert_agreement(event), 0);
    for (size_t i = 0; i < sizeof event - 1; i++) {
        char changed[sizeof event];
        memcpy(changed, event, sizeof event);
        for (size_t k = 0; k < sizeof bytes - 1; k++) {
            changed[i] = bytes[k];
            assert_agreement(changed);
        }
        memcpy(changed + i, event + i + 1, sizeof event - 1 - i);
        assert_agreement(changed);
        changed[i] = '\0';
        assert_int_equal(assert_agreement(changed), -EBADMSG);
    }
}

static void assert_differing(const char *a, const char *b, const char *expected)
{
    json_t *json_a = parse(a), *json_b = parse(b);
    struct buffer differing = {0};
    action_event_is_identical(json_a, json_b, &differing);
    assert_int_equal(differing.length, strlen(expected));
    assert_memory_equal(differing.bytes, expected, differing.length);
    buffer_free(&differing);
    json_decref(json_a);
    json_decref(json_b);
}

/* Names are as long as somebody likes; some are said. */
static void test_what_differs(void **state)
{
    (void)state;
    char name[DIFFERING_BYTES_MAX + 2] = {0}, event[2 * sizeof name];
    assert_differing("{'name':'a','phase':4,'x':1,'y':2}", "{'name':'b','phase':5,'x':1,'z':3}",
                     "y, z");
    assert_differing("{'group':'a','x':{}}", "{'group':'b','x':[]}", "group, x");
    assert_differing("{'':1}", "{'':2}", "\"\"");
    memset(name, 'n', sizeof name - 1);
    snprintf(event, sizeof event, "{'%s':1,'x':2}", name);
    assert_differing(event, "{}", "…, x");
}

static void assert_identical(const char *a, const char *b, bool expected)
{
    json_t *json_a = parse(a), *json_b = parse(b);
    char *dumped = json_dumps(json_a, 0), *other = json_dumps(json_b, JSON_INDENT(1));
    assert_int_equal(action_event_is_identical(json_a, json_b, NULL), expected);
    assert_int_equal(action_event_is_identical(json_b, json_a, NULL), expected);
    struct action_event event = {.info = {dumped, strlen(dumped)}};
    bool is_identical;
    assert_int_equal(action_event_compare(&event, dumped, strlen(dumped), &is_identical, NULL), 0);
    assert_true(is_identical);
    assert_int_equal(action_event_compare(&event, other, strlen(other), &is_identical, NULL), 0);
    assert_int_equal(is_identical, expected);
    assert_int_equal(action_event_compare(&event, "{", 1, &is_identical, NULL), 0);
    assert_false(is_identical);
    free(dumped);
    free(other);
    json_decref(json_a);
    json_decref(json_b);
}

/* What an event may say in Flyte's spelling, and how it is kept. */
static void assert_spelled(const char *text, const char *kept)
{
    struct action_event event;
    struct problem problem;
    struct json_text info = {.bytes = text, .length = strlen(text)};
    if (action_event_decode(&event, info, NULL, 77, &texts, &problem) != 0)
        fail_msg("%s: %s", text, problem.detail);
    assert_int_equal(event.info.length, strlen(kept));
    assert_memory_equal(event.info.bytes, kept, strlen(kept));
    action_event_clear(&event);
}

static void test_spelling_of_flyte_is_kept_as_ours(void **state)
{
    (void)state;
    assert_spelled("{ " KEY ", \"x_y\": 1 }", "{ " KEY ", \"x_y\": 1 }");
    assert_spelled("{" KEY ", \"error_info\" : { \"message\":\"m\" , \"kind\":\"KIND_USER\"},"
                   "\"x_y\":{\"short_name\":1},\"log_info\":[{\"message_format\":1}],"
                   "\"task\":{\"short_name\":\"s\"},\"depends\\u005fon\":[],"
                   "\"cluster_events\":[],\"reported_time\":null}",
                   "{" KEY ",\"errorInfo\":{\"message\":\"m\",\"kind\":\"USER\"},"
                   "\"x_y\":{\"short_name\":1},\"logInfo\":[{\"message_format\":1}],"
                   "\"task\":{\"shortName\":\"s\"},\"dependsOn\":[],"
                   "\"clusterEvents\":[],\"reportedTime\":null}");
    assert_spelled("{" KEY ",\"errorInfo\":{\"kind\":\"ERROR_KIND_SYSTEM\"}}",
                   "{" KEY ",\"errorInfo\":{\"kind\":\"SYSTEM\"}}");
    assert_spelled("{" KEY ",\"errorInfo\":{\"kind\":\"KIND_UNSPECIFIED\"}}",
                   "{" KEY ",\"errorInfo\":{\"kind\":null}}");
    assert_spelled("{" KEY ",\"errorInfo\":{\"kind\":\"USER\"}}",
                   "{" KEY ",\"errorInfo\":{\"kind\":\"USER\"}}");
}

static void test_spelling_of_flyte_is_read(void **state)
{
    (void)state;
    struct made_event made =
        make_event("'name':'a','updated_time':'1970-01-01T00:00:01Z','task':{'short_name':'s'},"
                   "'error_info':{'kind':'KIND_SYSTEM'},'phase':'ACTION_PHASE_SKIPPED'");
    const struct action_event *event = &made.event;
    assert_int_equal(event->updated_us, 1000000);
    assert_string_equal(event->short_name, "s");
    assert_int_equal(event->phase, PHASE_SKIPPED);
    assert_int_equal(event->error_kind, ERROR_KIND_SYSTEM);
    assert_string_equal(json_string_value(json_object_get(event->error_info, "kind")), "SYSTEM");
    made_event_clear(&made);
}

static void test_additions(void **state)
{
    (void)state;
    struct made_event made = make_event(
        "'name':'a','phase':4,'title':'Align','links':[{'name':'log','url':'https://x/','more':1}],"
        "'dependsOn':['b','c / d'],'aliases':['a','try-1','try-1'],"
        "'run':{'title':'T','labels':{'k':'v','e':''},'links':[],'params':{ 'x' : 0.1 },'y':1}");
    const struct action_event *event = &made.event;
    assert_string_equal(event->additions[ADDITION_TITLE], "\"Align\"");
    assert_string_equal(event->additions[ADDITION_LINKS],
                        "[{\"name\":\"log\",\"url\":\"https://x/\"}]");
    assert_string_equal(event->additions[ADDITION_DEPENDS_ON], "[\"b\",\"c / d\"]");
    assert_int_equal(event->alias_count, 2);
    assert_string_equal(event->aliases[0], "try-1");
    assert_string_equal(event->run_additions[RUN_TITLE], "\"T\"");
    assert_string_equal(event->run_additions[RUN_LABELS], "{\"k\":\"v\",\"e\":\"\"}");
    assert_string_equal(event->run_additions[RUN_LINKS], "[]");
    assert_non_null(strstr(event->run_additions[RUN_PARAMS], "0.1"));
    made_event_clear(&made);
}

static void test_additions_that_are_left_out(void **state)
{
    (void)state;
    static const char *const members[] = {
        "'name':'a','phase':4,'x':1",
        "'name':'a','phase':4,'title':null,'links':null,'dependsOn':null,'aliases':null,'run':null",
        "'name':'a','phase':4,'aliases':[],'run':{'title':null,'labels':null,'links':null,'params':"
        "null}"};
    for (size_t i = 0; i < 3; i++) {
        struct made_event made = make_event(members[i]);
        assert_int_equal(made.event.alias_count, 0);
        assert_false(made.event.has_additions || made.event.has_run_additions);
        made_event_clear(&made);
    }
}

/* `count` times `item` with commas between them, between `before` and `behind`. */
static int decode_many(const char *before, const char *item, size_t count, const char *behind)
{
    struct buffer members = {0};
    struct action_event event;
    struct problem problem;
    buffer_text(&members, before);
    for (size_t i = 0; i < count; i++) {
        char text[128];
        snprintf(text, sizeof text, item, i);
        buffer_text(&members, i > 0 ? "," : "");
        buffer_text(&members, text);
    }
    buffer_append(&members, behind, strlen(behind) + 1);
    int status = decode(members.bytes, NULL, &event, &problem);
    if (status == 0)
        action_event_clear(&event);
    buffer_free(&members);
    return status;
}

static void test_additions_at_their_limits_and_one_past_them(void **state)
{
    (void)state;
    static const struct {
        const char *before, *item, *behind;
        size_t limit;
    } cases[] = {
        {"'links':[", "{'name':'%zu','url':'u'}", "]", LINKS_MAX},
        {"'dependsOn':[", "'%zu'", "]", DEPENDS_ON_MAX},
        {"'aliases':[", "'%zu'", "]", ALIASES_MAX},
        {"'run':{'labels':{", "'%zu':'v'", "}}", LABELS_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(
            decode_many(cases[i].before, cases[i].item, cases[i].limit, cases[i].behind), 0);
        assert_int_equal(
            decode_many(cases[i].before, cases[i].item, cases[i].limit + 1, cases[i].behind),
            -EINVAL);
    }
}

/* A text of `length` between `before` and `behind`. */
static void assert_text_length(const char *before, size_t length, const char *behind, int expected)
{
    char *text = malloc(length + 1), *members = NULL;
    struct action_event event;
    struct problem problem;
    memset(text, 'x', length);
    text[length] = '\0';
    assert_true(asprintf(&members, "%s%s%s", before, text, behind) > 0);
    assert_int_equal(decode(members, NULL, &event, &problem), expected);
    if (expected == 0)
        action_event_clear(&event);
    free(members);
    free(text);
}

static void test_texts_at_their_limits_and_one_past_them(void **state)
{
    (void)state;
    static const struct {
        const char *before, *behind;
        size_t limit;
    } cases[] = {
        {"'title':'", "'", LABEL_BYTES_MAX},
        {"'links':[{'name':'", "','url':'u'}]", LABEL_BYTES_MAX},
        {"'links':[{'name':'n','url':'", "'}]", LINK_URL_BYTES_MAX},
        {"'dependsOn':['", "']", NAME_BYTES_MAX},
        {"'run':{'labels':{'", "':'v'}}", LABEL_NAME_BYTES_MAX},
        {"'run':{'labels':{'k':'", "'}}", LABEL_BYTES_MAX},
        {"'run':{'title':'", "'}", LABEL_BYTES_MAX},
        {"'run':{'params':{'k':'", "'}}", RUN_ADDITION_BYTES_MAX - sizeof "{\"k\": \"\"}" + 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_text_length(cases[i].before, cases[i].limit, cases[i].behind, 0);
        assert_text_length(cases[i].before, cases[i].limit + 1, cases[i].behind, -EINVAL);
    }
}

static void test_identical(void **state)
{
    (void)state;
    assert_identical("{}", "{}", true);
    assert_identical("{'phase':4,'x':[1,{'y':2}]}", "{'x':[1,{'y':2}],'phase':'RUNNING'}", true);
    assert_identical(
        "{'project':'p','domain':'d','runName':'r','name':'n','attempt':1,'version':0}", "{}",
        true);
    assert_identical("{'x':1}", "{}", false);
    assert_identical("{'x':1}", "{'y':1}", false);
    assert_identical("{'x':1}", "{'x':2}", false);
    assert_identical("{'x':1,'phase':1}", "{'x':1,'y':1}", false);
    assert_identical("{'x':null}", "{}", false);
}

/* `info` with ' for ". */
static void assert_record(const char *info, int64_t revision, const char *expected)
{
    char text[512];
    struct buffer out = {0};
    struct event_record record = {.run = {"p", "d", "r"},
                                  .name = "a",
                                  .attempt = 1,
                                  .phase = PHASE_RUNNING,
                                  .revision = revision,
                                  .recorded_us = 1000,
                                  .info = {.bytes = text, .length = strlen(info)}};
    for (size_t i = 0; i <= strlen(info); i++)
        text[i] = info[i] == '\'' ? '"' : info[i];
    event_record_write(&out, &record);
    buffer_append(&out, "", 1);
    assert_string_equal(out.bytes, expected);
    buffer_free(&out);
}

#define RECORD_KEY                                                                                 \
    "{\"project\":\"p\",\"domain\":\"d\",\"runName\":\"r\",\"name\":\"a\",\"attempt\":1,"          \
    "\"phase\":\"RUNNING\",\"version\":0,"
#define RECORD_TIMES                                                                               \
    ",\"recordedAt\":\"1970-01-01T00:00:00.001Z\",\"updatedTime\":\"1970-01-01T00:00:00.000Z\""

static void test_event_of_the_history(void **state)
{
    (void)state;
    assert_record("{ 'name' : 'a','phase':4,'updatedTime':'1970-01-01T01:00:00+01:00',"
                  "'parent':null ,'outputs':{ 'y':0.1,'z':[1E5,-0] }}",
                  17,
                  RECORD_KEY "\"revision\":17" RECORD_TIMES
                             ",\"parent\":null,\"outputs\":{ \"y\":0.1,\"z\":[1E5,-0] }}");
    assert_record("{'name':'a','\\u0070hase':4}", 0,
                  RECORD_KEY "\"revision\":null" RECORD_TIMES "}");
}

/* Members of the event's own that are called like ours are in the whole of it. */
static void test_event_with_members_called_like_ours(void **state)
{
    (void)state;
    static const char *const names[] = {"revision", "recordedAt", "asReceived"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char info[128], expected[512];
        snprintf(info, sizeof info, "{'phase':4,'%s':99,'x':1}", names[i]);
        snprintf(expected, sizeof expected,
                 RECORD_KEY "\"revision\":17" RECORD_TIMES
                            ",\"x\":1,\"asReceived\":{\"phase\":4,\"%s\":99,\"x\":1}}",
                 names[i]);
        assert_record(info, 17, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_differs),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_limits_hold),
        cmocka_unit_test(test_each_member_is_named_when_it_is_wrong),
        cmocka_unit_test(test_required_members),
        cmocka_unit_test(test_key_at_its_limit_and_one_past_it),
        cmocka_unit_test(test_no_object_is_no_event),
        cmocka_unit_test(test_key_in_the_path),
        cmocka_unit_test(test_body_that_disagrees_with_the_path),
        cmocka_unit_test(test_wrong_part_of_the_path),
        cmocka_unit_test(test_texts_that_are_or_are_not_json),
        cmocka_unit_test(test_a_byte_changed),
        cmocka_unit_test(test_spelling_of_flyte_is_kept_as_ours),
        cmocka_unit_test(test_spelling_of_flyte_is_read),
        cmocka_unit_test(test_additions),
        cmocka_unit_test(test_additions_that_are_left_out),
        cmocka_unit_test(test_additions_at_their_limits_and_one_past_them),
        cmocka_unit_test(test_texts_at_their_limits_and_one_past_them),
        cmocka_unit_test(test_identical),
        cmocka_unit_test(test_event_of_the_history),
        cmocka_unit_test(test_event_with_members_called_like_ours),
    };
    return cmocka_run_group_tests(tests, NULL, free_texts);
}
