/*
 * vactofl [-h host] file.vac: makes an archive of vac(1) one that flfmt(8) -v
 * turns into a fossil. Prints the new score.
 *
 * Both write the same format, but for two things that fossil cannot stand and
 * vacfs(4) does not mind:
 *
 * - libventi leaves VtEntryLocal ("not yet in venti") on every entry that it
 *   has written. Fossil believes it, and takes the score for an address on
 *   its own disk.
 * - vac sorts "ab" before "a" in a block of names, and says so by the block's
 *   magic number. Fossil reads such blocks, but dies when it has to change one.
 *
 * Only the blocks of directories are written anew; those of files stay.
 *
 * Venti keeps no zeros at the end of a block (venti-zero(2)), so a
 * block may end within its last entry: when the score in it ends in 00.
 */
#include <u.h>
#include <libc.h>
#include <venti.h>
#include <thread.h>

enum
{
	Stack = 512*1024,	/* of which a level of directories takes under 1 KB */

	/* blocks of names: /sys/src/cmd/fossil/vac.c */
	Vacmagic = 0x5656fc79,
	Flmagic = 0x5656fc7a,
	Header = 12,
	Slot = 4,
	Dirmagic = 0x1c4d9072,
};

typedef struct Pair Pair;
typedef struct Ents Ents;
typedef int Leaf(uchar*, int, uvlong, void*);

struct Pair	/* a subdirectory: where its entries are among its parent's */
{
	ulong src;
	ulong meta;
};
struct Ents	/* what is in a directory */
{
	Pair *pair;
	int npair;
	VtEntry *e;
	uvlong ne;
	int epb;	/* entries in a block */
};

VtConn *z;
int changed;	/* blocks written */

int mainstacksize = Stack;

#define U16(p)	((p)[0]<<8 | (p)[1])
#define U32(p)	((ulong)(p)[0]<<24 | (p)[1]<<16 | (p)[2]<<8 | (p)[3])

void
usage(void)
{
	fprint(2, "usage: vactofl [-h host] file.vac\n");
	threadexitsall("usage");
}

int
nowhere(uchar *score)
{
	static uchar none[VtScoreSize];

	return memcmp(score, vtzeroscore, VtScoreSize) == 0 || memcmp(score, none, VtScoreSize) == 0;
}

/*
 * Shows the leaves of a stream, with their numbers, to leaf, which says whether
 * it has changed one. What has changed is written, and so is what points to it:
 * score is the name of the whole afterwards. A leaf has zeros behind its n bytes,
 * up to VtMaxLumpSize.
 */
void
walk(uchar *score, int type, int psize, uvlong first, Leaf *leaf, void *arg)
{
	uchar *buf, old[VtScoreSize];
	uvlong span;
	int i, n, dirty;

	if(nowhere(score))
		return;
	buf = vtmallocz(VtMaxLumpSize);
	if((n = vtread(z, score, type, buf, VtMaxLumpSize)) < 0)
		sysfatal("read %V: %r", score);
	dirty = 0;
	if((type & VtTypeDepthMask) == 0)
		dirty = leaf(buf, n, first, arg);
	else{
		span = 1;
		for(i = 1; i < (type & VtTypeDepthMask); i++)
			span *= psize/VtScoreSize;
		for(i = 0; (i+1)*VtScoreSize <= n; i++){
			memmove(old, buf+i*VtScoreSize, VtScoreSize);
			walk(buf+i*VtScoreSize, type-1, psize, first+i*span, leaf, arg);
			if(memcmp(old, buf+i*VtScoreSize, VtScoreSize) != 0)
				dirty = 1;
		}
	}
	if(dirty){
		if((type & VtTypeDepthMask) == 0)
			n = vtzerotruncate(type, buf, VtMaxLumpSize);
		if(vtwrite(z, score, type, buf, n) < 0)
			sysfatal("write: %r");
		changed++;
	}
	vtfree(buf);
}

/* elements of two directory entries, in fossil's order */
int
namecmp(uchar *a, uchar *b)
{
	int na, nb, c;

	na = U16(a+6);
	nb = U16(b+6);
	c = memcmp(a+8, b+8, na < nb? na: nb);
	return c != 0? c: na-nb;
}

/* A block of names: sorts it, and notes subdirectories if arg says where. */
int
names(uchar *b, int n, uvlong, void *arg)
{
	Ents *d;
	uchar slot[Slot], *p;
	int i, j, ni, o, len;

	if(n == 0)
		return 0;
	if(U32(b) != Vacmagic && U32(b) != Flmagic)
		sysfatal("this is no block of names");
	ni = U16(b+10);
	if(Header + ni*Slot > VtMaxLumpSize)
		sysfatal("a block of names says that it has %d", ni);
	d = arg;
	for(i = 0; i < ni; i++){
		p = b + Header + i*Slot;
		o = U16(p);
		len = U16(p+2);
		if(o+len > VtMaxLumpSize || len < 12 || U32(b+o) != Dirmagic || 8 + U16(b+o+6) + 4 > len)
			sysfatal("an entry of a block of names is damaged");
		if(d != nil){
			d->pair = vtrealloc(d->pair, (d->npair+1) * sizeof(Pair));
			p = b+o+8+U16(b+o+6);
			d->pair[d->npair].src = U32(p);
			if(U16(b+o+4) < 9)
				d->pair[d->npair].meta = U32(p)+1;
			else
				d->pair[d->npair].meta = U32(p+8);
			d->npair++;
		}
	}
	if(U32(b) == Flmagic)
		return 0;
	b[3] = Flmagic & 0xFF;
	for(i = 1; i < ni; i++){
		memmove(slot, b+Header+i*Slot, Slot);
		for(j = i; j > 0 && namecmp(b+U16(b+Header+(j-1)*Slot), b+U16(slot)) > 0; j--)
			memmove(b+Header+j*Slot, b+Header+(j-1)*Slot, Slot);
		memmove(b+Header+j*Slot, slot, Slot);
	}
	return 1;
}

/* entries in a block of n bytes, the last of which may lack zeros */
int
entries(int n)
{
	return (n + VtEntrySize-1) / VtEntrySize;
}

/* a block of entries, into memory */
int
load(uchar *b, int n, uvlong first, void *arg)
{
	Ents *d;
	uvlong i, end;

	d = arg;
	n = entries(n);
	end = first*d->epb + n;
	if(end > d->ne){
		d->e = vtrealloc(d->e, end*sizeof(VtEntry));
		memset(d->e + d->ne, 0, (end - d->ne)*sizeof(VtEntry));
		d->ne = end;
	}
	for(i = 0; i < n; i++)
		if(vtentryunpack(d->e + first*d->epb + i, b, i) < 0)
			memset(d->e + first*d->epb + i, 0, sizeof(VtEntry));
	return 0;
}

/* and back, without the flag */
int
store(uchar *b, int n, uvlong first, void *arg)
{
	Ents *d;
	VtEntry was, *e;
	int i, dirty;

	d = arg;
	dirty = 0;
	n = entries(n);
	for(i = 0; i < n; i++){
		if(vtentryunpack(&was, b, i) < 0 || !(was.flags & VtEntryActive))
			continue;
		e = d->e + first*d->epb + i;
		if(!(was.flags & VtEntryLocal) && memcmp(was.score, e->score, VtScoreSize) == 0)
			continue;
		e->flags &= ~VtEntryLocal;
		vtentrypack(e, b, i);
		dirty = 1;
	}
	return dirty;
}

/* a directory and all below it: the stream of its entries and that of its names */
void
directory(VtEntry *src, VtEntry *meta)
{
	Ents d;
	Pair *p;

	memset(&d, 0, sizeof d);
	if((d.epb = src->dsize/VtEntrySize) == 0)
		sysfatal("a directory has blocks of %d bytes", src->dsize);
	walk(meta->score, meta->type, meta->psize, 0, names, &d);
	walk(src->score, src->type, src->psize, 0, load, &d);
	for(p = d.pair; p < d.pair + d.npair; p++)
		if(p->src < d.ne && (d.e[p->src].type & VtTypeBaseMask) == VtDirType){
			if(p->meta >= d.ne)
				sysfatal("a directory lacks its names");
			directory(d.e + p->src, d.e + p->meta);
		}
	walk(src->score, src->type, src->psize, 0, store, &d);
	vtfree(d.pair);
	vtfree(d.e);
}

void
threadmain(int argc, char **argv)
{
	char *host, text[1024], *prefix;
	uchar score[VtScoreSize], buf[VtRootSize];
	VtRoot root;
	Ents top;
	int fd, n;

	host = nil;
	fmtinstall('V', vtscorefmt);
	fmtinstall('F', vtfcallfmt);
	ARGBEGIN{
	case 'h':
		host = EARGF(usage());
		break;
	default:
		usage();
	}ARGEND
	if(argc != 1)
		usage();
	if((fd = open(argv[0], OREAD)) < 0)
		sysfatal("%s: %r", argv[0]);
	if((n = readn(fd, text, sizeof text - 1)) < 0)
		sysfatal("%s: %r", argv[0]);
	while(n > 0 && (text[n-1] == '\n' || text[n-1] == ' '))
		n--;
	text[n] = 0;
	if(vtparsescore(text, &prefix, score) < 0)
		sysfatal("%s holds no score", argv[0]);
	if((z = vtdial(host)) == nil || vtconnect(z) < 0)
		sysfatal("venti: %r");
	if(vtread(z, score, VtRootType, buf, sizeof buf) != VtRootSize || vtrootunpack(&root, buf) < 0)
		sysfatal("%V is not the root of an archive: %r", score);

	/* three streams: the root's entries, its names, and a block with its own entry */
	memset(&top, 0, sizeof top);
	top.epb = VtMaxLumpSize/VtEntrySize;
	walk(root.score, VtDirType, 0, 0, load, &top);
	if(top.ne != 3)
		sysfatal("%V is not an archive of vac", score);
	directory(top.e, top.e+1);
	walk(top.e[2].score, top.e[2].type, top.e[2].psize, 0, names, nil);
	walk(root.score, VtDirType, 0, 0, store, &top);
	if(changed){
		vtrootpack(&root, buf);
		if(vtwrite(z, score, VtRootType, buf, sizeof buf) < 0 || vtsync(z) < 0)
			sysfatal("write: %r");
	}
	print("vac:%V\n", score);
	vthangup(z);
	threadexitsall(nil);
}
