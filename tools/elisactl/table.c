// SPDX-License-Identifier: MIT
#include <err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elisactl.h"

void elisactl_table_init(struct table *table, const char *const *titles)
{
	*table = (struct table){ .titles = titles };
	while (titles[table->columns])
		table->columns++;
}

void elisactl_table_add(struct table *table, const char *format, ...)
{
	size_t row = table->count / table->columns, column = table->count % table->columns;
	va_list arguments;

	if (!column) {
		table->rows = reallocarray(table->rows, row + 1, sizeof(*table->rows));
		if (!table->rows)
			err(FAILED, "table");
	}
	va_start(arguments, format);
	if (vasprintf(&table->rows[row][column], format, arguments) < 0)
		err(FAILED, "table");
	va_end(arguments);
	table->count++;
}

static void print_row(const struct table *table, char *const *row, const int *widths, const char *end)
{
	for (size_t column = 0; column < table->columns; column++) {
		bool right = table->titles[column][0] == '>', last = column + 1 == table->columns;
		const char *text = row ? row[column] : table->titles[column] + right;

		if (last && !right)
			fputs(text, stdout);
		else
			printf(right ? "%*s" : "%-*s", widths[column], text);
		fputs(last ? end : "  ", stdout);
	}
}

void elisactl_table_print(const struct table *table, size_t lines, const char *end)
{
	size_t rows = table->count / table->columns;
	int widths[COLUMNS_MAX];

	if (rows > lines)
		rows = lines;
	for (size_t column = 0; column < table->columns; column++) {
		widths[column] = (int)strlen(table->titles[column]) - (table->titles[column][0] == '>');
		for (size_t row = 0; row < rows; row++) {
			int width = (int)strlen(table->rows[row][column]);

			if (width > widths[column])
				widths[column] = width;
		}
	}
	print_row(table, NULL, widths, end);
	for (size_t row = 0; row < rows; row++)
		print_row(table, table->rows[row], widths, end);
}

void elisactl_table_free(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->rows[i / table->columns][i % table->columns]);
	free(table->rows);
	table->rows = NULL;
	table->count = 0;
}
