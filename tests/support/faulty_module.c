/* A PKCS #11 module that passes all calls on to SoftHSM, unless a control file says otherwise:
 *   gone     the token is not there: no slots, DEVICE_ERROR; sessions stay lost until the module is initialized again
 *   slow N   each call takes N milliseconds longer
 *   hang     calls do not return until the file says something else
 *   locked   the token says that one more wrong PIN would lock it
 *   wrong    what is encrypted or signed is wrong in its last bit
 *   own-iv       AES-GCM refuses vectors of others, and writes its own into the parameter (as AWS CloudHSM does)
 *   append-iv    AES-GCM refuses vectors of others, and appends its own of 16 bytes (as Thales Luna can)
 *   zero-iv      AES-GCM refuses vectors of others, and uses zeros
 *   vanish   of several objects that are found together, the first is destroyed before it can be looked at
 * The file is named by FAULTY_CONTROL, the module by FAULTY_MODULE. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long Word;
typedef Word (*Function)(Word, Word, Word, Word, Word, Word, Word, Word);
struct List { unsigned char version[2]; Function functions[68]; };
enum { INITIALIZE = 0, FINALIZE = 1, GET_SLOT_LIST = 4, GET_TOKEN_INFO = 6, DESTROY_OBJECT = 22, FIND_OBJECTS = 27, ENCRYPT_INIT = 29, ENCRYPT = 30, SIGN = 43 };
struct Mechanism { Word type; Word *gcm; Word length; };

static struct List *real, list;
static int lost;
static __thread unsigned char vector[16];
static __thread int appends;

static void control(char *word) {
    FILE *file = fopen(getenv("FAULTY_CONTROL"), "r");
    word[0] = 0;
    if (file) { if (!fgets(word, 32, file)) word[0] = 0; fclose(file); }
}

/* Gives an encryption a vector of the token's; returns 0, or a code. */
static Word draw(const char *word, struct Mechanism *mechanism) {
    appends = 0;
    if (mechanism->type != 0x1087 || !strstr(word, "-iv")) return 0;
    unsigned char *given = (unsigned char *)mechanism->gcm[0];
    for (Word i = 0; i < mechanism->gcm[1]; i++) if (given[i]) return 0x71;
    if (strncmp(word, "zero", 4) == 0) return mechanism->gcm[1] ? 0 : 0x71;
    appends = strncmp(word, "append", 6) == 0;
    if (appends != (mechanism->gcm[1] == 0)) return 0x71;
    for (int i = 0; i < 16; i++) vector[i] = 1 + rand() % 255;
    if (!appends) { memcpy(given, vector, mechanism->gcm[1]); return 0; }
    mechanism->gcm[0] = (Word)vector;
    mechanism->gcm[1] = 16;
    mechanism->gcm[2] = 128;
    return 0;
}

static Word pass(int number, Word a, Word b, Word c, Word d, Word e, Word f, Word g, Word h) {
    char word[32];
    control(word);
    while (strncmp(word, "hang", 4) == 0) { usleep(10000); control(word); }
    if (strncmp(word, "slow", 4) == 0) usleep(1000 * atoi(word + 4));
    if (strncmp(word, "gone", 4) == 0 && number != INITIALIZE && number != FINALIZE) {
        lost = 1;
        if (number != GET_SLOT_LIST) return 0x30;
        *(Word *)c = 0;
        return 0;
    }
    if (number == INITIALIZE) lost = 0;
    if (lost && number != FINALIZE) return 0xB3;
    if (number == ENCRYPT_INIT) { Word refused = draw(word, (struct Mechanism *)b); if (refused) return refused; }
    Word code = real->functions[number](a, b, c, d, e, f, g, h);
    if (strncmp(word, "locked", 6) == 0 && number == GET_TOKEN_INFO) *(Word *)(b + 96) |= 0x20000;
    if (strncmp(word, "wrong", 5) == 0 && code == 0 && (number == ENCRYPT || number == SIGN))
        ((unsigned char *)d)[*(Word *)e - 1] ^= 1;
    if (strncmp(word, "vanish", 6) == 0 && number == FIND_OBJECTS && code == 0 && *(Word *)d > 1)
        real->functions[DESTROY_OBJECT](a, ((Word *)b)[0], 0, 0, 0, 0, 0, 0);
    if (number == ENCRYPT && code == 0 && appends) {
        memcpy((unsigned char *)d + *(Word *)e, vector, 16);
        *(Word *)e += 16;
    }
    return code;
}

#define F(n) static Word f##n(Word a, Word b, Word c, Word d, Word e, Word f, Word g, Word h) { return pass(n, a, b, c, d, e, f, g, h); }
#define TEN(X, t) X(t##0) X(t##1) X(t##2) X(t##3) X(t##4) X(t##5) X(t##6) X(t##7) X(t##8) X(t##9)
#define ALL(X) TEN(X, ) TEN(X, 1) TEN(X, 2) TEN(X, 3) TEN(X, 4) TEN(X, 5) X(60) X(61) X(62) X(63) X(64) X(65) X(66) X(67)
#define ADDRESS(n) f##n,
ALL(F)

Word C_GetFunctionList(struct List **found) {
    static Function const functions[68] = { ALL(ADDRESS) };
    void *module = dlopen(getenv("FAULTY_MODULE"), RTLD_NOW);
    Word (*get)(struct List **) = module ? (Word (*)(struct List **))dlsym(module, "C_GetFunctionList") : 0;
    if (!get || get(&real)) return 5;
    list = *real;
    memcpy(list.functions, functions, sizeof functions);
    *found = &list;
    return 0;
}
