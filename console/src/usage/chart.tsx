import type { Day } from "../api/types.ts";

const WIDTH = 600;
const HEIGHT = 140;

type Line = { name: string; of: (day: Day) => number | null };
type Props = { title: string; days: Day[]; lines: Line[]; format: (value: number) => string };

/** Lines over days, and the same numbers as texts for those who do not see them. */
export function Chart({ title, days, lines, format }: Props) {
  const most = Math.max(1, ...days.flatMap((day) => lines.map(({ of }) => of(day) ?? 0)));
  const x = (index: number) => (days.length < 2 ? WIDTH / 2 : (index * WIDTH) / (days.length - 1));
  const y = (value: number) => HEIGHT - (value / most) * HEIGHT;
  const latest = days.at(-1);
  const words = lines.map(({ name, of }) => `${name} ${latest === undefined ? "nothing" : format(of(latest) ?? 0)}`).join(", ");
  return (
    <figure class="chart">
      <figcaption>
        {title}: at most {format(most)}
      </figcaption>
      <svg viewBox={`-4 -4 ${WIDTH + 8} ${HEIGHT + 8}`} role="img" aria-label={`${title}, ${days.length} days; at the end: ${words}`}>
        <line class="axis" x1={0} y1={HEIGHT} x2={WIDTH} y2={HEIGHT} />
        {lines.map(({ name, of }, at) => {
          const points = days.flatMap((day, index) => {
            const value = of(day);
            return value === null ? [] : [`${x(index).toFixed(1)},${y(value).toFixed(1)}`];
          });
          const last = points.at(-1)?.split(",");
          return (
            <g key={name} class={`line${at}`}>
              <polyline points={points.join(" ")} />
              {last !== undefined && <circle cx={last[0]} cy={last[1]} r={3.5} />}
            </g>
          );
        })}
      </svg>
      <p class="fine row">
        <span>{days[0]?.date ?? "no day yet"}</span>
        {lines.map(({ name }, at) => (
          <span key={name} class={`key line${at}`}>
            {name}
          </span>
        ))}
        <span>{latest?.date}</span>
      </p>
    </figure>
  );
}
