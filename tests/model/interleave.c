#include "tests/model/interleave.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum {
	THREADS = INTERLEAVE_THREADS_MAX,
	WORDS_MAX = 8,
	VALUES_MAX = 128, /* of a word in one run */
	STEPS_MAX = 1000, /* of a run; more is a fault: a thread that never ends */
	SLOTS_MAX = 64,
	STACK_BYTES = 256 * 1024,
	FREE = -1, /* no thread */
};

/* What a thread has seen, or been told of: of each word, and of each thread's doings. */
struct view {
	unsigned word[WORDS_MAX];
	unsigned thread[THREADS];
};

struct value {
	uint64_t value;
	struct view told; /* to who acquires it */
};

struct word {
	uint64_t *address;
	unsigned count;
	struct value values[VALUES_MAX];
};

struct slot {
	int writer;
	unsigned written;
	unsigned read[THREADS];
};

struct access {
	char kind; /* as in struct interleave_site, and 'e'nded */
	int order;
	unsigned word;
	uint64_t value;    /* stored, or seen */
	uint64_t expected; /* by a cas */
	bool done;         /* of a cas */
	uint64_t waited;   /* stores of others when a relax began */
};

struct thread {
	ucontext_t context;
	char *stack;
	struct access next;
	struct view view;
	uint64_t stores;
	unsigned looked; /* at which words since it last waited, a bit each */
};

/* A point of the search: who went next there, and what remains to be tried. */
struct point {
	unsigned asleep; /* threads whose turn leads to nothing new, a bit each */
	unsigned chosen;
	unsigned choice; /* which of the values that it might see, from the newest */
	unsigned choices;
	unsigned enabled;
};

/* The run at hand: coroutines find it here. */
static struct {
	const struct interleave_program *program;
	struct interleave_result *result;
	ucontext_t scheduler;
	int current;
	struct thread threads[THREADS];
	struct word words[WORDS_MAX];
	unsigned word_count;
	struct slot slots[SLOTS_MAX];
	uint64_t stores;
	struct point points[STEPS_MAX];
	struct access trace[STEPS_MAX];
	unsigned depth; /* points known from the run before */
	unsigned step;
	const char *broken;
} run = {.current = FREE};

/* ---- What coroutines call ---- */

static unsigned word_of(const uint64_t *address)
{
	for (unsigned i = 0; i < run.word_count; i++)
		if (run.words[i].address == address)
			return i;
	if (run.word_count == WORDS_MAX)
		abort();
	run.words[run.word_count].address = (uint64_t *)address;
	run.words[run.word_count].count = 1;
	run.words[run.word_count].values[0] = (struct value){.value = *address};
	return run.word_count++;
}

static void note_site(unsigned line, char kind, int order)
{
	struct interleave_result *result = run.result;

	for (unsigned i = 0; i < result->site_count; i++)
		if (result->sites[i].line == line && result->sites[i].kind == kind)
			return;
	if (result->site_count < INTERLEAVE_SITES_MAX)
		result->sites[result->site_count++] = (struct interleave_site){line, kind, order};
}

/* Wait for the turn; the scheduler does the access meanwhile. */
static struct access *stop_at(struct access access, unsigned line)
{
	struct thread *t = &run.threads[run.current];

	note_site(line, access.kind, access.order);
	if (line == run.program->weaken_site)
		access.order = run.program->weaken_to;
	t->next = access;
	swapcontext(&t->context, &run.scheduler);
	return &t->next;
}

uint64_t interleave_load(const uint64_t *word, int order, unsigned line)
{
	if (run.current == FREE)
		return *word;
	return stop_at((struct access){.kind = 'l', .order = order, .word = word_of(word)}, line)
		->value;
}

void interleave_store(uint64_t *word, uint64_t value, int order, unsigned line)
{
	if (run.current == FREE) {
		*word = value;
		return;
	}
	stop_at((struct access){.kind = 's', .order = order, .word = word_of(word), .value = value},
		line);
}

bool interleave_cas(uint64_t *word, uint64_t *expected, uint64_t value, int order, unsigned line)
{
	struct access access = {.kind = 'c', .order = order, .value = value, .expected = *expected};
	const struct access *done;

	if (run.current == FREE) {
		bool same = *word == *expected;

		if (same)
			*word = value;
		else
			*expected = *word;
		return same;
	}
	access.word = word_of(word);
	done = stop_at(access, line);
	*expected = done->expected;
	return done->done;
}

void interleave_relax(unsigned line)
{
	if (run.current == FREE)
		return;
	stop_at((struct access){.kind = 'r',
				.waited = run.stores - run.threads[run.current].stores},
		line);
}

static struct slot *slot_of(void *const *address)
{
	const struct interleave_program *p = run.program;

	if (address < p->slots || address >= p->slots + p->slot_count)
		return NULL;
	return &run.slots[address - p->slots];
}

static void read_slot(struct slot *slot, struct thread *t)
{
	if (slot->writer != FREE && slot->written > t->view.thread[slot->writer])
		run.broken = "a slot is read that was not seen to be written";
	slot->read[run.current] = t->view.thread[run.current];
}

static void write_slot(struct slot *slot, struct thread *t)
{
	if (slot->writer != FREE && slot->written > t->view.thread[slot->writer])
		run.broken = "a slot is written twice at once";
	for (unsigned i = 0; i < run.program->threads; i++)
		if (slot->read[i] > t->view.thread[i])
			run.broken = "a slot is written that was not seen to be read";
	slot->writer = run.current;
	slot->written = t->view.thread[run.current];
}

void interleave_copy(void **to, void *const *from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (run.current != FREE) {
			struct slot *read = slot_of(from + i), *written = slot_of(to + i);

			if (read)
				read_slot(read, &run.threads[run.current]);
			if (written)
				write_slot(written, &run.threads[run.current]);
		}
		to[i] = from[i];
	}
}

/* ---- Memory ---- */

static void learn(struct view *view, const struct view *told)
{
	for (unsigned i = 0; i < WORDS_MAX; i++)
		view->word[i] = view->word[i] > told->word[i] ? view->word[i] : told->word[i];
	for (unsigned i = 0; i < THREADS; i++)
		view->thread[i] =
			view->thread[i] > told->thread[i] ? view->thread[i] : told->thread[i];
}

static bool acquires(int order)
{
	return order != __ATOMIC_RELAXED && order != __ATOMIC_RELEASE;
}

static bool releases(int order)
{
	return order != __ATOMIC_RELAXED && order != __ATOMIC_ACQUIRE;
}

/* The choices are the values that may be seen, the newest first. */
static unsigned count_choices(const struct thread *t)
{
	const struct access *a = &t->next;
	const struct word *w = &run.words[a->word];

	if ((a->kind != 'l' && a->kind != 'c') || run.program->strong)
		return 1;
	/* A cas fails by an older value; one that is as expected and not the newest it passes by.
	 */
	return w->count - t->view.word[a->word];
}

static void append(struct thread *t, struct access *a, const struct view *passed_on)
{
	struct word *w = &run.words[a->word];
	struct value *v = &w->values[w->count];

	if (w->count == VALUES_MAX)
		abort();
	t->view.word[a->word] = w->count++;
	*v = (struct value){.value = a->value};
	if (passed_on)
		v->told = *passed_on;
	if (releases(a->order)) {
		learn(&v->told, &t->view);
		t->view.thread[t - run.threads]++;
	}
	*w->address = a->value;
	run.stores++;
	t->stores++;
}

/* Returns false where the choice is none: a cas cannot see that value. */
static bool do_access(struct thread *t, unsigned choice)
{
	struct access *a = &t->next;
	struct word *w = &run.words[a->word];
	unsigned index = w->count - 1 - choice;
	const struct value *seen = &w->values[index];

	if (a->kind != 'r')
		t->looked |= 1U << a->word;
	switch (a->kind) {
	case 'l':
		a->value = seen->value;
		t->view.word[a->word] = index;
		if (acquires(a->order))
			learn(&t->view, &seen->told);
		break;
	case 's':
		append(t, a, NULL);
		break;
	case 'c':
		a->done = seen->value == a->expected;
		if (a->done && choice > 0)
			return false;
		t->view.word[a->word] = index;
		/* A cas that fails acquires, whatever it does when it succeeds. */
		if (!a->done || acquires(a->order))
			learn(&t->view, &seen->told);
		if (a->done)
			append(t, a, &seen->told);
		a->expected = seen->value;
		break;
	case 'r':
		for (unsigned i = 0; i < run.word_count; i++)
			if (t->looked >> i & 1)
				t->view.word[i] = run.words[i].count - 1;
		t->looked = 0;
		break;
	default:
		abort();
	}
	return true;
}

/* ---- The search ---- */

static bool is_enabled(const struct thread *t)
{
	if (t->next.kind == 'e')
		return false;
	if (t->next.kind != 'r' || t->next.waited != run.stores - t->stores)
		return true;
	for (unsigned i = 0; i < run.word_count; i++)
		if (t->looked >> i & 1 && t->view.word[i] != run.words[i].count - 1)
			return true;
	return false;
}

static bool writes(const struct access *a)
{
	return a->kind == 's' || a->kind == 'c';
}

static bool depend(const struct access *a, const struct access *b)
{
	if (a->kind == 'r' || b->kind == 'r')
		return writes(a) || writes(b);
	return a->word == b->word && (writes(a) || writes(b));
}

static void body(void)
{
	run.program->thread(run.program->context, (unsigned)run.current);
	run.threads[run.current].next = (struct access){.kind = 'e'};
	/* Back to the scheduler by uc_link. */
}

static void resume(unsigned index)
{
	run.current = (int)index;
	swapcontext(&run.scheduler, &run.threads[index].context);
	run.current = FREE;
}

static void begin(void)
{
	const struct interleave_program *p = run.program;

	run.broken = NULL;
	run.word_count = 0;
	run.stores = 0;
	run.step = 0;
	p->setup(p->context);
	for (unsigned i = 0; i < p->slot_count; i++)
		run.slots[i] = (struct slot){.writer = FREE};
	for (unsigned i = 0; i < p->threads; i++) {
		struct thread *t = &run.threads[i];

		memset(&t->view, 0, sizeof(t->view));
		t->view.thread[i] = 1;
		t->stores = 0;
		t->looked = 0;
		getcontext(&t->context);
		t->context.uc_stack.ss_sp = t->stack;
		t->context.uc_stack.ss_size = STACK_BYTES;
		t->context.uc_link = &run.scheduler;
		makecontext(&t->context, body, 0);
		resume(i); /* to its first access */
	}
}

static unsigned enabled_threads(void)
{
	unsigned enabled = 0;

	for (unsigned i = 0; i < run.program->threads; i++)
		enabled |= (unsigned)is_enabled(&run.threads[i]) << i;
	return enabled;
}

static bool all_ended(void)
{
	for (unsigned i = 0; i < run.program->threads; i++)
		if (run.threads[i].next.kind != 'e')
			return false;
	return true;
}

static void choose(struct point *p, unsigned awake)
{
	p->chosen = (unsigned)__builtin_ctz(awake);
	p->choice = 0;
	p->choices = 0; /* known when it is reached */
}

/* Returns whether there is anybody whose turn leads to something new. */
static bool add_point(unsigned asleep)
{
	struct point *p = &run.points[run.step];
	unsigned awake;

	*p = (struct point){.asleep = asleep, .enabled = enabled_threads()};
	awake = p->enabled & ~p->asleep;
	if (awake == 0)
		return false;
	choose(p, awake);
	run.depth = run.step + 1;
	return true;
}

/* Who sleeps at the next point: those whose access has nothing to do with the one chosen. */
static unsigned still_asleep(const struct point *p)
{
	unsigned asleep = 0;

	for (unsigned i = 0; i < run.program->threads; i++)
		if (p->asleep >> i & 1 &&
		    !depend(&run.threads[i].next, &run.threads[p->chosen].next))
			asleep |= 1U << i;
	return asleep;
}

/* One run: the known points again, then the first choice at each. True: it came to an end. */
static bool go(void)
{
	unsigned asleep = 0;

	for (begin(); !run.broken && !all_ended(); run.step++) {
		struct point *p = &run.points[run.step];
		struct thread *t;

		if (run.step == STEPS_MAX - 1) {
			run.broken = "no end";
			break;
		}
		if (run.step >= run.depth && !add_point(asleep)) {
			if (p->enabled == 0)
				run.broken = "all wait for each other";
			break;
		}
		t = &run.threads[p->chosen];
		if (p->choices == 0)
			p->choices = count_choices(t);
		asleep = still_asleep(p);
		if (!do_access(t, p->choice))
			return false;
		run.trace[run.step] = t->next;
		resume(p->chosen);
	}
	return all_ended();
}

/* Move the last point that has anything left to try. False: there is none. */
static bool advance(void)
{
	for (; run.depth > 0; run.depth--) {
		struct point *p = &run.points[run.depth - 1];
		unsigned awake;

		if (++p->choice < p->choices)
			return true;
		p->asleep |= 1U << p->chosen;
		awake = p->enabled & ~p->asleep;
		if (awake == 0)
			continue;
		choose(p, awake);
		return true;
	}
	return false;
}

__attribute__((format(printf, 2, 3))) static void say(size_t *used, const char *format, ...)
{
	char *text = run.result->fault;
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(text + *used, INTERLEAVE_FAULT_MAX - *used, format, arguments);
	va_end(arguments);
	if (n > 0)
		*used += (size_t)n < INTERLEAVE_FAULT_MAX - *used
				 ? (size_t)n
				 : INTERLEAVE_FAULT_MAX - *used - 1;
}

static void describe(const char *what)
{
	size_t used = 0;

	run.result->faulty = true;
	say(&used, "%s after", what);
	for (unsigned i = 0; i < run.step; i++) {
		const struct access *a = &run.trace[i];
		unsigned thread = run.points[i].chosen;
		uint64_t value = a->kind == 'c' && !a->done ? a->expected : a->value;
		const char *name = a->kind == 'l'   ? "sees"
				   : a->kind == 's' ? "sets"
				   : a->done        ? "swaps to"
						    : "fails by";

		if (a->kind == 'r')
			say(&used, "\n  %u waits", thread);
		else
			say(&used, "\n  %u word%u %s %08x:%08x%s", thread, a->word, name,
			    (unsigned)(value >> 32), (unsigned)value,
			    run.points[i].choice ? " (old)" : "");
	}
	say(&used, "\n");
}

void interleave_run(const struct interleave_program *program, struct interleave_result *result)
{
	*result = (struct interleave_result){0};
	run.program = program;
	run.result = result;
	run.depth = 0;
	if (program->threads > THREADS || program->slot_count > SLOTS_MAX)
		abort();
	for (unsigned i = 0; i < program->threads; i++) {
		run.threads[i].stack = malloc(STACK_BYTES);
		if (!run.threads[i].stack)
			abort();
	}
	do {
		bool ended = go();
		const char *wrong = run.broken;

		result->runs += ended;
		result->steps += run.step;
		if (!wrong && ended)
			wrong = program->check(program->context);
		if (wrong)
			describe(wrong);
		if (result->faulty || !advance()) {
			result->complete = true;
			break;
		}
	} while (program->runs_max == 0 || result->runs < program->runs_max);
	for (unsigned i = 0; i < program->threads; i++)
		free(run.threads[i].stack);
}
