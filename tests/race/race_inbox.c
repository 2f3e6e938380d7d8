/*
 * Hand-over between workers, for ThreadSanitizer: it watches that messages and what is in them are
 * touched by one worker at a time.
 */
#define STRESS_INBOX_ROUNDS 300
#include "tests/stress/stress_inbox.c" // NOLINT(bugprone-suspicious-include)
