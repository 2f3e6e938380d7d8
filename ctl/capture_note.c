/* The note that a capture leaves behind, to and from its text. */
#include "ctl/capture_note.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTE_WORD "sluice "

bool note_is_ours(const char *text)
{
	return strncmp(text, NOTE_WORD, strlen(NOTE_WORD)) == 0;
}

static bool read_number(const char *at, size_t size, uint32_t *out)
{
	char digits[16], *end;
	unsigned long value;

	if (size == 0 || size >= sizeof digits || at[0] < '0' || at[0] > '9')
		return false;
	memcpy(digits, at, size);
	digits[size] = '\0';
	errno = 0;
	value = strtoul(digits, &end, 0);
	if (errno != 0 || *end != '\0' || value > UINT32_MAX)
		return false;
	*out = (uint32_t)value;
	return true;
}

/* "eth0:1,eth1:0" */
static bool read_strict(const char *at, size_t size, struct note *note)
{
	const char *end = at + size;

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *stop = comma ? comma : end;
		const char *colon = memrchr(at, ':', (size_t)(stop - at));
		struct note_strict *strict = &note->strict[note->strict_count];
		uint32_t value;

		if (note->strict_count == NOTE_STRICT_MAX || !colon || colon == at ||
		    (size_t)(colon - at) >= sizeof strict->name ||
		    !read_number(colon + 1, (size_t)(stop - colon - 1), &value))
			return false;
		memcpy(strict->name, at, (size_t)(colon - at));
		strict->name[colon - at] = '\0';
		strict->value = value;
		note->strict_count++;
		at = stop + 1;
	}
	return true;
}

static bool read_word(const char *at, size_t size, struct note *note)
{
	const char *value = memchr(at, '=', size);
	size_t key_size, value_size;

	if (!value)
		return true;
	key_size = (size_t)(value - at);
	value_size = size - key_size - 1;
	value++;
	if (key_size == 5 && memcmp(at, "table", 5) == 0)
		return read_number(value, value_size, &note->table);
	if (key_size == 4 && memcmp(at, "mark", 4) == 0)
		return read_number(value, value_size, &note->mark);
	if (key_size == 3 && memcmp(at, "pid", 3) == 0)
		return read_number(value, value_size, &note->pid);
	if (key_size == 8 && memcmp(at, "reserved", 8) == 0)
		return ports_parse(value, value_size, &note->reserved) == 0;
	if (key_size == 6 && memcmp(at, "strict", 6) == 0)
		return read_strict(value, value_size, note);
	return true;
}

int note_parse(const char *text, struct note *out)
{
	struct note note = {0};

	if (!note_is_ours(text))
		return -EINVAL;
	for (const char *at = text + strlen(NOTE_WORD); *at != '\0';) {
		size_t size = strcspn(at, " ");

		if (!read_word(at, size, &note))
			return -EINVAL;
		at += size;
		at += strspn(at, " ");
	}
	*out = note;
	return 0;
}

int note_format(const struct note *note, char *out, size_t size)
{
	char text[NOTE_MAX], reserved[NOTE_MAX];
	size_t length, n = ports_format(&note->reserved, reserved, sizeof reserved);
	FILE *stream;
	bool failed;

	if (n >= sizeof reserved)
		return -E2BIG;
	stream = fmemopen(text, sizeof text, "w");
	if (!stream)
		return -errno;
	fprintf(stream, NOTE_WORD "table=%" PRIu32 " mark=0x%08" PRIx32, note->table, note->mark);
	if (note->pid != 0)
		fprintf(stream, " pid=%" PRIu32, note->pid);
	if (n > 0)
		fprintf(stream, " reserved=%s", reserved);
	for (unsigned i = 0; i < note->strict_count; i++)
		fprintf(stream, "%s%s:%u", i == 0 ? " strict=" : ",", note->strict[i].name,
			note->strict[i].value);
	failed = fflush(stream) != 0 || ferror(stream);
	length = (size_t)ftell(stream);
	failed = fclose(stream) != 0 || failed;
	if (failed || length >= sizeof text || length >= size)
		return -E2BIG;
	memcpy(out, text, length + 1);
	return 0;
}
