/* Copyright The zfarm Authors
 * SPDX-License-Identifier: Apache-2.0 */
#define VERSION "1.0"
