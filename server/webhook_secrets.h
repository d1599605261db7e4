/* The secrets with which webhooks are signed that can bring no token: an HMAC of the body (GitHub's
 * X-Hub-Signature-256).
 *
 * The file has one secret a line, behind the project/domain that it is for, a pattern as in a
 * token's rights (model/access.h): "owner/repo/ci SECRET". Several may be for one, so that one can
 * take another's place. Lines that are empty or begin with a # say nothing. */
#ifndef RUNTREE_SERVER_WEBHOOK_SECRETS_H
#define RUNTREE_SERVER_WEBHOOK_SECRETS_H

#include <stdbool.h>
#include <stddef.h>

enum {
    WEBHOOK_SECRETS_MAX = 1000,
    WEBHOOK_SECRET_BYTES_MIN = 16,
    WEBHOOK_SECRET_BYTES_MAX = 4096,
    WEBHOOK_SECRETS_WHY_SIZE = 384,
};

/* Of a request: what webhook_secrets_verify verifies. */
#define WEBHOOK_SIGNATURE_HEADER "X-Hub-Signature-256"

/* For all threads. */
struct webhook_secrets;

/* Reads the file: blocks. NULL with the reason in `why`, which has nothing of what it holds. */
struct webhook_secrets *webhook_secrets_load(const char *path,
                                             char why[static WEBHOOK_SECRETS_WHY_SIZE]);
void webhook_secrets_free(struct webhook_secrets *secrets); /* NULL is fine */

/* From now on those of `fresh`, which is taken over: how many there are. By one thread at a time.
 */
size_t webhook_secrets_replace(struct webhook_secrets *secrets, struct webhook_secrets *fresh);

/* Whether there is one for the project and domain. `secrets` NULL: there are none. */
bool webhook_secrets_know(struct webhook_secrets *secrets, const char *project, const char *domain);

/* Whether `signature`, "sha256=" and hex digits of either case, is of the body by one of those for
 * the project and domain. Takes the same time whichever byte differs. */
bool webhook_secrets_verify(struct webhook_secrets *secrets, const char *project,
                            const char *domain, const char *body, size_t length,
                            const char *signature);

#endif
