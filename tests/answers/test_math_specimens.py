"""Answers that look alike and differ, or differ and mean the same: specimens of each kind of fault."""

import pytest

from coral.answers import math
from coral.types import Answered

EQUAL = {
    "numbers in words": [
        ("twenty-five", "25"), ("Thirteen", "13"), ("forty two", "42"), ("ninety", "90"),
        (r"\text{eighteen}", "18"),
        ("DNE", r"\text{does not exist}"), ("does not exist", "undefined"),
    ],
    "clocks": [
        ("15:30", "3:30 PM"), ("3 PM", "15:00"), ("12:00 AM", "0:00"), ("00:15", "12:15 a.m."),
        ("23:59", "11:59 pm"),
        ("noon", "12:00 PM"), ("midnight", "12 AM"), ("12 noon", "12:00"), ("12:30 PM", "12:30"),
        ("midday", "noon"),
        ("3:30 in the afternoon", "3:30 PM"), ("9 in the morning", "9 AM"), ("15:30 hours", "15:30"),
        (r"15:30\text{ h}", "3:30 p.m."), ("3.30 pm", "15:30"), ("09:05", "9:05 a.m."), ("24:00", "0:00"),
    ],
    "money in thousands and millions": [
        ("$1.5M", "1,500,000"), ("$5k", "5000"), ("$3B", "3000000000"), ("$1,500K", "1.5 million"),
        ("$2bn", "$2 billion"),
        ("€2.5M", "€2500000"), ("$2.5 M", "2500000"), ("2.5M dollars", "$2,500,000"), ("40k USD", "$40000"),
        (r"\$1.2T", "1.2 trillion"), ("$7mn", "7 million dollars"), ("-$3k", "-3000"),
    ],
    "ways to choose": [
        ("C(5,2)", "10"), ("5 choose 2", "10"), (r"C(5, 2)", r"\binom{5}{2}"), ("5C2", "10"),
        ("{}_5C_2", "10"),
        ("C_5^2", "10"), ("C^2_5", "10"), ("nCr(5,2)", "10"), ("binom(6,3)", "20"),
        (r"\mathrm{C}(5,2)", "10"),
        ("5P2", "20"), ("P(5,2)", "20"), ("{}_5P_2", "20"), ("₅P₂", "20"), ("nPr(5, 2)", "20"),
        ("n choose k", r"\binom{n}{k}"),
        ("C(n,2)", r"\frac{n(n-1)}{2}"), ("C(10,3) + C(10,2)", "165"), ("1/C(5,2)", "1/10"),
        ("12 choose 5", "792"),
        (r"\frac{C(4,2)}{C(6,2)}", "2/5"), (r"2 \cdot C(4,2)", "12"),
    ],
    "roots of negative numbers": [
        (r"\sqrt{-1}", "i"), ("√-1", "i"), ("√(-4)", "2i"), (r"\sqrt{-4}", "2i"),
        (r"2+\sqrt{-3}", r"2+i\sqrt{3}"),
        (r"\sqrt{-2}", r"i\sqrt{2}"), ("sqrt(-9)", "3i"), (r"\frac{\sqrt{-4}}{2}", "i"),
        (r"\sqrt{-1}^2", "-1"),
    ],
    "a letter, a sign, a computation beside the value": [
        (r"\textbf{(A)}\ 15", "15"), (r"\text{(C) } 12", "12"), ("(B) 12", "12"), ("A) 5", "5"),
        ("C. 7", "7"),
        (r"\textbf{(D)}\ \frac{1}{2}", "1/2"), ("(E) $5", "5"), ("8 (4 + 4)", "8"), ("8 (2 × 4)", "8"),
        ("0.5 (1/2)", "0.5"),
        ("= 5", "5"), ("<5>", "5"), ("✅ 5", "5"), ("→ 5", "5"),
    ],
    "units with a scale, a product, a sign of their own": [
        (r"3 \times 10^8 \text{ m/s}", r"3 \times 10^8"), ("3e8 m/s", "3e8"), ("1.5 x 10^3 m", "1500"),
        (r"9.8\ \frac{\text{m}}{\text{s}^2}", "9.8"), ("US $5", "5"), ("3•4", "12"),
        ("10 N·m", "10"), (r"5\,\mu\text{m}", "5"), ("5 μm", "5"), ("3 Ω", "3"), ("2 kΩ", "2000 ohms"),
        (r"3\ \Omega", "3"), ("CAD 5", "5"), ("AUD 20", "20"), ("₩5000", "5000"), ("₱40", "40 pesos"),
        ("9:00 a.m.", "9:00"), ("9 o'clock", "9:00"), ("03:30", "3:30"), ("5 PM", "5:00 pm"),
    ],
    "more of Unicode": [
        ("0.3\u0305", "1/3"), ("0.1\u03056\u0305", "16/99"), ("x\u0304", r"\overline{x}"), ("²⁄₃", "2/3"),
        ("1²⁄₃", "5/3"), ("⁵C₂", "10"), ("^5C_2", "10"), ("{}_6C_3", "20"), ("≈ 3.14", "3.14"),
    ],
    "letters are no units": [
        ("8x^2", r"8\cdot x^2"), ("3ft", "3"), ("6 g", "6"), ("3 cm^3", "3"), ("6y cm", "6y"),
        ("8 mph", "8"), ("5 m", "5"), ("5cm", "5"), ("12 apples", "12"), ("4kg", "4"), ("4 kg", "4000 g"),
    ],
    "powers without letters": [
        (r"\sqrt{3^2+4^2}", "5"), (r"2^3 \cdot 5^2", "200"), (r"2^{3}\cdot 3^{2}", "72"), ("3^2+4^2", "25"),
        (r"\frac{2^3}{3^2}", "8/9"), ("5^2-4^2", "9"), (r"2^5 \times 3^2 \times 5", "1440"),
        (r"\sqrt{6^2+8^2}", "10"), ("10^{2}+10^{1}", "110"), ("2^{10}-1", "1023"), ("(2^3)^2", "64"),
        ("2^{3}3^{2}", "72"), ("2^2 + 3^2 + 6^2", "49"), ("2^{3^2}", "512"), ("(-2)^3", "-8"),
        ("-2^2", "-4"), ("2^{2}+3^{2}", "13"), (r"\sqrt{5^2-3^2}", "4"), ("2^{2^3}", "256"),
        (r"3^{2}\times 2^{3}", "72"), (r"10^2\cdot 10^3", "100000"),
    ],
    "bare root signs": [
        ("√16", "4"), ("√9", "3"), ("√100", "10"), ("3√25", "15"), ("√(16)", "4"), ("√{16}", "4"),
        ("√2.25", "1.5"), ("√x", r"\sqrt{x}"), ("√12", "2√3"), ("√12", r"2\sqrt{3}"),
        ("√50/5", r"\sqrt{2}"), ("∛8", "2"), ("∜16", "2"), ("1/√2", r"\frac{\sqrt{2}}{2}"),
        ("√π", r"\sqrt{\pi}"), ("√(a²+b²)", r"\sqrt{a^2+b^2}"), ("-√16", "-4"), ("√(x+1)", r"\sqrt{x+1}"),
        ("2√3", r"2\sqrt{3}"), ("√2/2", r"\frac{\sqrt{2}}{2}"), ("∛27", "3"), ("√144", "12"),
        (r"\sqrt16", "4"), ("sqrt(16)", "4"), ("sqrt16", "4"),
    ],
    "braces count": [
        (r"\log_{2}8", "3"), (r"\log_{2}16", "4"), (r"\log_{3}{9}", "2"), (r"\log_2{8}", "3"),
        (r"\log_{2} 32", "5"), (r"\log_5 25", "2"), (r"\log_{10} 1000", "3"), ("2^{-1}", "0.5"),
        ("4^{1/2}", "2"), ("4^{0.5}", "2"), ("e^{0}", "1"), ("{x}^{2}", "x^2"), ("x^{ 2 }", "x^2"),
        (r"\frac{{1}}{{2}}", "1/2"), (r"{\frac{1}{2}}", "1/2"), (r"\sqrt{{4}}", "2"), ("{{{7}}}", "7"),
        (r"\log_{10}100", "2"), (r"\log_28", "3"), (r"\log_2 8", "3"), (r"\log_{3} 81", "4"),
        (r"\log_3(81)", "4"), (r"\ln e", "1"), (r"\log 100", "2"), ("2^{10}", "1024"), ("2^10", "1024"),
        ("{2}^{3}", "8"), ("{{5}}", "5"),
    ],
    "wrappers": [
        (r"\text{5 cm}", "5"), (r"\textcolor{red}{5}", "5"), (r"\text{13}", "13"), (r"\mathrm{7}", "7"),
        (r"\text{$7$}", "7"), (r"\text{-3}", "-3"), (r"\text{1/2}", "1/2"), (r"\text{0.5}", "1/2"),
        (r"\textbf{7}", "7"), (r"\textcolor{blue}{\frac{1}{2}}", "1/2"), (r"\color{red}5", "5"),
        (r"\color{red}{5}", "5"), (r"\mathbf{x^2}", "x^2"), (r"\boldsymbol{\frac{1}{2}}", "0.5"),
        (r"\fbox{5}", "5"), (r"\text{12 inches}", "12"), (r"\text{5 dollars}", "5"), (r"\textsf{5}", "5"),
        (r"\texttt{42}", "42"), (r"\text{13.}", "13"), (r"\large{5}", "5"), (r"\Large 5", "5"),
        (r"\displaystyle \frac{1}{2}", "1/2"), (r"\textrm{5}", "5"), (r"\left(5\right)", "5"),
        (r"\bigl(5\bigr)", "5"), (r"\textcolor{red}{\textbf{5}}", "5"), (r"\text{Area} = 5", "5"),
        (r"\mathit{5}", "5"), (r"\text{13 or 14}", "13, 14"), (r"\text{ten}", "10"), (r"\mathsf{A}", "A"),
        (r"\text{A}", "A"), ("**5**", "5"), ("`5`", "5"), ('"5"', "5"), ("“5”", "5"), (r"\mathbf{7}", "7"),
        (r"\mathrm{12}", "12"), (r"\boldsymbol{x}+1", "x+1"), (r"\color{blue}{9}", "9"),
        (r"{\color{red}9}", "9"), (r"\textbf{(B)}", "B"), (r"\text{\textbf{(B)}}", "B"),
        (r"\underline{42}", "42"), (r"\boxed{\text{42}}", "42"), (r"\mbox{5}", "5"),
        (r"\colorbox{yellow}{5}", "5"), (r"\ensuremath{5}", "5"), (r"{\bf 5}", "5"), (r"\text{x = 5}", "5"),
        (r"\text{\$5}", "5"), (r"\emph{5}", "5"), (r"\textit{5 km}", "5"), (r"\text{5}\text{ cm}", "5"),
        (r"\text{five}", "5"),
    ],
    "degrees": [
        (r"\sin 30^\circ", "0.5"), (r"\cos 0^\circ", "1"), (r"\tan 60^\circ", r"\sqrt{3}"),
        (r"\sin 45°", r"\frac{\sqrt{2}}{2}"), (r"\cos(60^\circ)", "0.5"), (r"\sin 90^{\circ}", "1"),
        (r"\tan(30^\circ)", r"\frac{1}{\sqrt{3}}"), (r"\cos 60\degree", "1/2"),
        (r"\sin 30^\circ + \cos 60^\circ", "1"), (r"\sin30^\circ", "1/2"), (r"\sec 60^\circ", "2"),
        (r"\cot 45^\circ", "1"), ("60°", "60 degrees"), (r"60^{\circ}", "60"),
        (r"\sin\left(30^\circ\right)", "0.5"), (r"\cos 72^\circ", r"\frac{\sqrt5-1}{4}"),
        (r"\angle ABC = 30^\circ", "30"), (r"\tan 45^\circ", "1"), (r"\cos 60°", "1/2"),
        (r"\sin(30^\circ)", r"\frac{1}{2}"), (r"\cos 60^{\circ}+1", "1.5"), (r"90^\circ", "90"),
        ("45 degrees", r"45^\circ"), (r"2\sin 45^{\circ}", r"\sqrt{2}"), (r"30^\circ", "30"),
        (r"\sin^2 30^\circ", "0.25"), (r"30^\circ 30'", r"30.5^\circ"),
        (r"\cos\frac{\pi}{3}", r"\cos 60^\circ"),
    ],
    "sets": [
        (r"[1,2]\cup[2,3]", "[1,3]"), (r"\emptyset", r"\varnothing"), (r"\{\,\}", r"\emptyset"),
        (r"(-\infty,2)\cup(2,\infty)", r"\mathbb{R}\setminus\{2\}"), (r"[0,1]\cup[1,2]\cup[2,3]", "[0,3]"),
        (r"[0,1)\cup[1,2)", "[0,2)"), (r"(0,1)\cup\{1\}\cup(1,2)", "(0,2)"),
        (r"\{1\}\cup\{2\}", r"\{1,2\}"), (r"\{2,1\}\cap\{1\}", "1"), (r"x\in[1,3]", "[1,3]"),
        (r"1\le x\le 3", "[1,3]"), (r"1<x\leq 3", "(1,3]"), ("x>2", r"(2,\infty)"),
        (r"\{x: x\geq 2\}", r"[2,\infty)"), (r"(1,2)\cup[2,3]", "(1,3]"), ("[1, 2] ∪ [2, 3]", "[1,3]"),
        (r"\{ x \mid x < 1 \}", r"(-\infty, 1)"), (r"\{1,\frac{1}{2}\}", r"\{0.5,1\}"),
        (r"\{(1,2),(3,4)\}", "(3,4),(1,2)"), (r"\{(1,2)\}", "(1,2)"), (r"\{-1, 1\}", r"\pm 1"),
        (r"\mathbb R", r"\mathbb{R}"), (r"\Bbb{R}", r"\mathbb{R}"), (r"[1,2]\setminus\{1\}", "(1,2]"),
        (r"\{\}", r"\emptyset"), ("∅", r"\emptyset"), (r"(1,2]\cup(2,3)", "(1,3)"),
        (r"(-\infty,\infty)", r"\mathbb{R}"), (r"\{1,2\}\cup\{3\}", r"\{1,2,3\}"),
        (r"[0,2]\cap[1,3]", "[1,2]"), (r"\mathbb{R}\setminus\{0\}", r"(-\infty,0)\cup(0,\infty)"),
        (r"x\neq 0", r"(-\infty,0)\cup(0,\infty)"), (r"\{x|x>0\}", r"(0,\infty)"),
        (r"\{x \in \mathbb{R} : x > 0\}", r"(0,\infty)"), (r"\{x \mid 1<x<2\}", "(1,2)"),
        (r"x<1 \text{ or } x>2", r"(-\infty,1)\cup(2,\infty)"), (r"\text{no solution}", r"\emptyset"),
        (r"\text{all real numbers}", r"\mathbb{R}"), (r"\{1,2,3\}", r"\{3,2,1\}"),
        (r"[2,3]\cup[1,2]", "[1,3]"), (r"\left[1,2\right]\cup\left[2,3\right]", "[1,3]"),
    ],
    "false equalities": [
        (r"f^{\prime}(2)", "f'(2)"), ("1/0", "1/0"), ("6'", "6"), ("5'6''", "5'6\""),
        ("5'6\"", "5 feet 6 inches"), ("0.1", "0.10"), ("10%", "10"), ("5'6\"", "66 inches"),
        ("5 ft 6 in", "5'6\""),
    ],
    "units, money, times": [
        ("3:30 p.m.", "3:30 PM"), ("US$5", "5"), ("10 m/s", "10"), ("5 km/h", "5"), ("9.8 m/s²", "9.8"),
        ("30 mph", "30 miles per hour"), ("60 km/hr", "60 km/h"), ("12 in.", "12 inches"), ("12 in", "12"),
        ("3 ft.", "3 feet"), ("4 sq ft", "4 ft^2"), ("4 square feet", "4"), ("4 cubic cm", "4 cm³"),
        ("10 N", "10"), ("5 lb", "5 pounds"), ("7 hours", "7"), ("7 hr", "7 hours"), ("5 yr", "5 years"),
        ("100 °C", "100"), ("US$ 5", "5"), ("$5.00", "5"), ("$ 5", "5"), ("5$", "5"), (r"5\$", "$5"),
        (r"\$5 million", "5000000"), ("C$5", "5"), ("HK$5", "5"), ("5€", "5"), ("EUR 5", "€5"),
        ("5 cents", "5"), ("$1.50", "150 cents"), ("3 p.m.", "3 PM"), ("10:15 AM", "10:15 a.m."),
        ("10:15 AM", "10:15"), ("1 h 30 min", "90 min"), ("2 days", "48 hours"), ("5 units", "5"),
        ("5 square units", "5"), ("5 sq. units", "5"), ("3 dozen", "36"), ("2 thousand", "2000"),
        ("1.2 billion", "1200000000"), ("5th", "5"), ("5^{th}", "5"), ("5 people", "5"),
        ("15 sq. cm", "15 cm^2"), ("3 liters", "3000 mL"), ("1 gallon", "4 quarts"), ("45 deg", "45"),
        ("50 miles per gallon", "50"), ("$12 per hour", "12"), ("$12/hour", "$12 per hour"),
        ("12 dollars per hour", "$12/hr"), ("8 oz", "8 ounces"), ("0.5 kg", "500 g"),
        ("5 red apples", "5 apples"), (r"5\text{ m}", "5"), (r"5\,\mathrm{m/s^2}", "5"),
        (r"10\ \frac{\text{m}}{\text{s}}", "10"), ("36 km/h", "10 m/s"), ("10 meters per second", "10 m/s"),
        ("60 mph", "60"), ("60 mph", "60 miles per hour"), ("10 km", "10"), ("10 km", "10000 m"),
        ("5 cm^2", "5 square centimeters"), ("5 cm²", "5 cm^2"), ("$5", "5"), ("€5", "5"),
        ("£5", "5 pounds"), ("5 USD", "$5"), ("USD 5", "5 dollars"), ("50 cents", "$0.50"),
        ("50¢", "50 cents"), ("$1,250.50", "1250.5"), ("$5 million", "5000000"), ("Rs. 500", "500"),
        ("₹500", "500"), ("¥100", "100 yen"), ("A$5", "5"), ("3 PM", "3:00 p.m."), ("3:30pm", "3:30 P.M."),
        ("3:30", "3:30 PM"), ("1 hour and 30 minutes", "90 minutes"), ("1.5 hours", "90 minutes"),
        ("2 hours 15 minutes", "135 min"), ("50%", "50"), ("50 percent", "50%"), ("5 miles", "5 mi"),
        ("20°C", "20"), ("20 degrees Celsius", "20°C"), ("6 ft", "72 inches"), ("100 mL", "0.1 L"),
        ("7 days", "1 week"), (r"10\text{ cubic meters}", "10 m^3"), ("18 eggs", "18"),
        (r"12\pi\text{ cm}^2", r"12\pi"), (r"12\pi cm^2", r"12\pi"),
    ],
    "Unicode and spelling": [
        (r"4\sqrt(2)", r"4\sqrt{2}"), (r"{5 \choose 2}", "10"), ("⅓", "1/3"), ("x⁴+1", "x^4+1"),
        ("x²", "x^2"), ("x⁵", "x^5"), ("x⁻¹", "1/x"), ("10⁻³", "0.001"), ("a₁+a₂", "a_1+a_2"), ("⅕", "0.2"),
        ("⅚", "5/6"), ("2½", "2.5"), ("−½", "-0.5"), ("3¼", "13/4"), ("1⅓", "4/3"), ("⅞", "0.875"),
        ("½x", "x/2"), ("𝟓", "5"), ("５", "5"), ("५", "5"), ("θ", r"\theta"), ("α+β", r"\alpha+\beta"),
        ("x≥3", r"x\ge 3"), ("≠", "≠"), ("2·3", "6"), ("2∙3", "6"), ("2⋅3", "6"), ("10÷4", "2.5"),
        ("±3", "3,-3"), ("∞", r"\infty"), (r"{n \choose 2}", r"\frac{n(n-1)}{2}"), (r"\binom{6}{3}", "20"),
        (r"{6 \choose 3}", "20"), (r"\sqrt (9)", "3"), (r"2\sqrt(3)", "2√3"), (r"\sqrt[3](8)", "2"),
        ("sqrt(2)/2", r"\frac{\sqrt{2}}{2}"), ("x**2", "x^2"), ("2*3", "6"), (r"\frac{1}2", "0.5"),
        (r"\frac1{2}", "0.5"), (r"\dfrac{3}{4}", "0.75"), (r"\cfrac{3}{4}", "0.75"), (r"3\frac12", "3.5"),
        ("½ cm", "0.5 cm"), ("x³−1", "(x-1)(x^2+x+1)"), ("5 × 10³", "5000"), ("1.5e3", "1500"),
        (r"1.5\times10^3", "1500"), ("0.(3)", "1/3"), (r"0.1\overline{6}", "1/6"), ("1 000", "1000"),
        ("12 345 678", "12345678"), ("x ∈ ℝ", r"\mathbb{R}"), ("ln(e^2)", "2"), ("2^(3)", "8"),
        ("|-5|", "5"), (r"\lfloor 2.5 \rfloor", "2"), ("(x+1)²", "x^2+2x+1"), ("𝑥²", "x^2"),
        ("e^(iπ)", "-1"), ("3+4i", "4i+3"), ("x=½", "1/2"), ("2⁄3", "2/3"), ("¼+¼", "½"),
        ("x²+y²", "x^2+y^2"), ("x³", "x^3"), ("x¹⁰", "x^{10}"), ("2⁻³", "1/8"), ("½", "0.5"), ("1½", "1.5"),
        ("¾", "0.75"), ("⅔", "2/3"), ("⅛", "0.125"), ("3⅔", "11/3"), ("x₁", "x_1"), ("１２", "12"),
        ("٣", "3"), ("𝑥+1", "x+1"), ("−5", "-5"), ("3×4", "12"), ("6÷2", "3"), ("π", r"\pi"),
        ("2π", r"2\pi"), ("x ≤ 5", r"x \leq 5"), ("5⁄6", "5/6"), ("aⁿ", "a^n"), ("10²", "100"),
        ("√2·√3", r"\sqrt{6}"), (r"\dbinom{5}{2}", "10"), (r"\tbinom52", "10"),
        (r"n \choose k", r"\binom{n}{k}"), (r"{1 \over 2}", "1/2"), (r"\sqrt(x+1)", r"\sqrt{x+1}"),
        ("x^(2)", "x^2"), (r"\frac12", "1/2"), (r"\frac 1 2", "0.5"), (r"\tfrac{1}{2}", "0.5"),
        ("(1/2)", "0.5"), ("1 000 000", "1000000"), (r"1\,000", "1000"), ("1.5 x 10^3", "1500"),
        ("5.", "5"), ("$5$.", "5"), ("5。", "5"), ("5<|im_end|>", "5"), ("5 ∎", "5"),
    ],
    "values": [
        ("6:8", "3:4"), (r"\sqrt[3]{-8}", "-2"), ("2x+3", "3+2x"), ("(x-1)(x+1)", "x^2-1"),
        ("f(x)=x^2", "x^2"), (r"x \in \{1,2\}", "1,2"), (r"0.\overline{3}", "1/3"), ("0.333...", "1/3"),
        ("$18", "18"), (r"\$18", "18"),
    ],
}  # fmt: skip

DIFFERENT = {
    "clocks": [
        ("15:30", "3:30 AM"), ("15:30", "3:30"), ("3:30 AM", "3:30 PM"), ("noon", "midnight"),
        ("12:30 AM", "12:30 PM"),
        ("0:45", "45"), ("13:00", "1 AM"), ("25:30", "1:30"), ("15:30", "15.5"), ("1:30", "90"),
        ("noon", "0:00"),
    ],
    "money in thousands and millions": [
        ("$1.5M", "1.5"), ("$5k", "5"), ("$1.5M", "$1.5B"), ("5k", "5000"), ("3m", "3000000"),
        ("2k", "2"), ("$5 km", "5000"),
        ("$5M", "€5M"), ("5 MB", "5000000"), ("4 ft^", "5"), ("$2b", "2"),
    ],
    "ways to choose": [
        ("C(5,2)", "20"), ("P(5,2)", "10"), ("C(2,5)", "C(2,6)"), ("5 choose 2", "5"),
        ("C(1,2)", "P(1,2)"), ("5C2", "52"),
        ("C(5,2)", "(5,2)"), ("C_5", "C"), ("f(x,y)", "f(y,x)"), ("f(1,2)", "f(2,1)"), ("P(A)", "P"),
        ("C(x,y)", "C(y,x)"), ("5C", "5"),
    ],
    "roots of negative numbers": [
        (r"\sqrt{-1}", "1"), (r"\sqrt{-1}", "-1"), (r"\sqrt{-4}", "2"), (r"\sqrt{-4}", "-2i"),
        (r"\sqrt{-1}", "-i"),
    ],
    "a letter, a sign, a computation beside the value": [
        ("(A) 15", "(A) 16"), ("8 (4 + 5)", "8"), ("2 (3 + 4)", "2"), ("(B) 12", "B"), ("<5>", "<6>"),
    ],
    "transposes": [("A^T", "A"), ("M^{T}", "M"), ("2^T", "2"), ("(AB)^T", "AB"), ("x^T+1", "x+1")],
    "symbols glued to a number are variables": [
        (r"3\Omega", "3"), (r"2\mu g", "2"), (r"5\mu x", "5"), (r"3 g \cdot h", "3"), ("CAD 5", "EUR 5"),
        ("9:00 a.m.", "9:00 p.m."), ("9:00", "9:30"), ("x\u0304", "x"), ("5 μm", "5 mm"),
    ],
    "letters are no units": [
        ("8x^2", "8"), ("5x", "5"), ("5xy", "5"), ("12n", "12"), ("3s", "3"), ("6g", "6"), ("2l", "2"),
        ("4x^3", "4"), ("7ab", "7"), ("10t^2", "10"), ("9k", "9"), ("5 x", "5"), ("5 y^2", "5"),
        ("2i", "2"), ("2e", "2"), ("3+2i", "3"), ("2pi", "2"), ("100a", "100"), ("3n+1", "3"), ("8y", "8"),
        ("8m^2n", "8"), ("3ab", "3"), ("5m", "5"), ("7t", "7"), ("2h", "2"),
    ],
    "bare root signs": [
        ("√16", "6"), ("√100", "1"), ("√81", "8 1"), ("√144", "12 4"),
    ],
    "braces count": [
        ("2^{3}4", "2^{34}"), ("3^{1}2", "3^{12}"), ("10^{1}0", "10^{10}"), ("x_{1}1", "x_{11}"),
        ("a^{m}n", "a^{mn}"), ("x^{1}0", "x^{10}"), ("x_{1}2", "x_{12}"),
    ],
    "degrees": [
        (r"\cos 20^\circ", r"\cos 20"), (r"\sin(x^\circ)", r"\sin x"), (r"\sin 10^\circ", r"\sin 10"),
        (r"120^\circ", r"240^\circ"), (r"\sin 30", r"\sin 30^\circ"), (r"\tan 20^\circ", r"\tan 20"),
        ("30°", "31°"),
    ],
    "sets": [
        (r"(0,1)\cup(1,2)", "(0,2)"), (r"x\ge 2", r"(2,\infty)"), (r"\{(1,2)\}", "(2,1)"),
        (r"\{0\}", r"\emptyset"), (r"\{\emptyset\}", r"\emptyset"), (r"(1,2)\cup(2,3)", "(1,3)"),
        ("[1,2]", "[1,3]"), ("[1,2]", "(1,2)"), (r"\{1,2\}", r"\{1,2,3\}"),
    ],
    "false equalities": [
        ("5'6\"", "56"), ("1/0", "2/0"), ("f'(2)", "f(2)"), ("g'(x)", "g(x)"), ("f'(x)", "f''(x)"),
        (r"f^{\prime}(2)", "f(2)"), ("0/0", "1/0"), ("3/0", "0"), (r"\frac{5}{0}", r"\frac{7}{0}"),
        (r"\frac{x}{0}", r"\frac{y}{0}"), ("6'2\"", "62"), ("5'6\"", "5'7\""), ("5′6″", "56"),
        ("x''", "x'"), ("A'", "A"), (r"\sqrt{-1}", "1"), (r"\log(-1)", "0"), ("|x|", "x"),
        (r"\hat{x}", "x"), (r"\bar{x}", "x"), ("n!", "n"), ("(n+1)!", "n!"), ("3!!", "3!"),
        ("1,000", "1.000"), ("1e5", "15"), ("x^{-1}", "x"), ("12_3", "123"), ("f(2)", "f(3)"),
        ("f(2)", "g(2)"), ("sin x", "cos x"), ("10%", "0.1"), ("+", "-"), ("f''(2)", "f'(2)"),
        ("f'(x)", "f(x)"), ("y'", "y"), ("0/0", "1"), ("0/0", "0"), ("5/0", "5"), ("1/0", r"\infty"),
        (r"\frac{1}{0}", r"\frac{2}{0}"), (r"\tan 90^\circ", "0"), ("6'", '6"'), ("5!", "5"),
        (r"\overline{AB}", "AB"), ("x'", "x"), ("3''", "3'"), (r"\infty", "0"), (r"\log 0", "0"),
    ],
    "units, money, times": [
        ("5 km/h", "5 m/s"), ("10 m/s^2", "10 m/s"), ("5 kg", "5 lbs"), ("5 cents", "$5"), ("£5", "$5"),
        ("10:15 am", "10:15 pm"), ("10:15", "10:16"), ("5 apples", "5 oranges"), ("10 km", "10 m"),
        ("5 cm", "5 m"), ("$5", "€5"), ("3 PM", "3 AM"), ("3:30 PM", "3:30 AM"), ("12:30", "12.5"),
        ("50%", "0.5"), ("20°C", "20°F"), ("3 boys", "3 girls"),
    ],
    "values": [
        ("1:2:3", "1:3:2"), ("1:2:3", "1/6"),
    ],
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    math.warm_up()


def value(text: str) -> str:
    """The canonical answer of a bare one, as a data set or an extractor gives it."""
    belief = math.parse(text)
    assert isinstance(belief, Answered), (text, belief)
    return belief.value


def specimens(table):
    return [pytest.param(a, b, id=f"{kind}: {a} | {b}") for kind, pairs in table.items() for a, b in pairs]


@pytest.mark.parametrize(("a", "b"), specimens(EQUAL))
def test_what_means_the_same_is_graded_right(a: str, b: str) -> None:
    """Wrappers, spelling, Unicode, units and form make no right answer wrong, whichever is gold."""
    assert math.equivalent(value(a), value(b))
    assert math.equivalent(value(b), value(a))


@pytest.mark.parametrize(("a", "b"), specimens(DIFFERENT))
def test_what_differs_is_graded_wrong(a: str, b: str) -> None:
    """Calling two different things equal is the worse mistake."""
    assert not math.equivalent(value(a), value(b))
    assert not math.equivalent(value(b), value(a))
